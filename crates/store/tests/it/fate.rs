//! The seam for fault tests does what it says, and nothing to the neighbours.

use std::time::Duration;

use renga_store::{Fate, Store, StoreError};

use crate::fixture::key;

/// Request number `at` meets `fate`; those after a death meet their own before they are carried out.
fn oracle(fate: Fate, at: u32) -> impl FnMut() -> Fate + Send + 'static {
    let mut request = 0;
    move || {
        request += 1;
        match fate {
            _ if request < at => Fate::Kept,
            _ if request == at => fate,
            Fate::Refused | Fate::Kept => Fate::Kept,
            Fate::DiesBefore | Fate::DiesAfter => Fate::DiesBefore,
        }
    }
}

/// Puts `a`, `b` and `c` under a fate at `b`: what each heard, and what the next process finds.
async fn puts(fate: Fate) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let store = Store::open_with_oracle(&path, key(), oracle(fate, 2)).unwrap();
    let mut heard = Vec::new();
    for name in ["a", "b", "c"] {
        let put = store.write(move |tx| tx.setting_put(name, "v"));
        // Long for a write, short for one that is never answered.
        heard.push(match tokio::time::timeout(Duration::from_millis(500), put).await {
            Ok(Ok(())) => "done",
            Ok(Err(StoreError::Full { .. })) => "full",
            Ok(Err(_)) => "failed",
            Err(_) => "silence",
        });
    }
    drop(store);
    let store = Store::open(&path, key()).unwrap();
    let mut found = String::new();
    for name in ["a", "b", "c"] {
        if store.read(move |read| read.setting_get(name)).await.unwrap().is_some() {
            found += name;
        }
    }
    format!("{} -> {found}", heard.join(" "))
}

#[tokio::test]
async fn a_fate_befalls_its_own_request_alone() {
    assert_eq!(puts(Fate::Kept).await, "done done done -> abc");
    assert_eq!(puts(Fate::Refused).await, "done full done -> ac");
    assert_eq!(puts(Fate::DiesBefore).await, "done silence silence -> a");
    assert_eq!(puts(Fate::DiesAfter).await, "done silence silence -> ab");
}
