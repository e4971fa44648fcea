//! Opening, closing, keys, the lock, and copies.

use std::{fs, os::unix::fs::PermissionsExt};

use renga_model::{AttachClient, DynoState, OneOff, Secret, Worker};
use renga_store::{MasterKey, Store, StoreError};

use crate::fixture::{Ledger, dyno, key, release};

#[tokio::test]
async fn what_was_written_is_there_after_reopening() {
    let (ledger, app) = Ledger::with_app().await;
    let path = ledger.path();
    drop(ledger.store);
    let store = Store::open(&path, key()).unwrap();
    assert_eq!(store.read(move |read| read.app_fetch(app.id)).await.unwrap().name.as_str(), "shop");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_second_opener_learns_who_holds_it() {
    let ledger = Ledger::new();
    let error = Store::open(&ledger.path(), key()).unwrap_err();
    assert!(matches!(&error, StoreError::Locked { pid: Some(pid), .. } if *pid == std::process::id()));
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");

    let clone = ledger.store.clone();
    let path = ledger.path();
    drop(ledger.store);
    assert!(Store::open(&path, key()).is_err(), "a clone still holds it");
    drop(clone);
    Store::open(&path, key()).unwrap();
}

#[tokio::test]
async fn another_key_is_refused() {
    let ledger = Ledger::new();
    let path = ledger.path();
    drop(ledger.store);
    let wrong = Store::open(&path, MasterKey::from_bytes([2; 32]));
    assert!(matches!(wrong, Err(StoreError::WrongKey)), "{wrong:?}");
    Store::open(&path, key()).unwrap();
}

#[tokio::test]
async fn what_is_no_ledger_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    fs::write(&path, "dear diary, ".repeat(1_000)).unwrap();
    assert!(matches!(Store::open(&path, key()), Err(StoreError::Sql { .. })));
    assert!(fs::read_to_string(&path).unwrap().starts_with("dear diary"));
}

#[tokio::test]
async fn no_secret_is_readable_in_the_files() {
    let (ledger, app) = Ledger::with_app().await;
    let one_off = Worker::OneOff(OneOff {
        attach_hash: None,
        client: AttachClient::Awaited,
        force_no_tty: true,
        env: [("PASSWORD".to_owned(), Secret::new("swordfish"))].into(),
        time_to_live_s: None,
    });
    let (release, dyno) = (release(&app, 1), dyno(&app, "run.1"));
    let dyno = renga_model::Dyno { worker: one_off, state: DynoState::Planned, ..dyno };
    ledger
        .store
        .write(move |tx| {
            tx.release_insert(&release)?;
            tx.dyno_insert(&dyno)
        })
        .await
        .unwrap();
    let copy = ledger.folder.path().join("copy.db");
    ledger.store.backup(&copy).await.unwrap();

    let mut seen = 0;
    for file in fs::read_dir(ledger.folder.path()).unwrap() {
        let path = file.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let holds = |word: &str| bytes.windows(word.len()).any(|window| window == word.as_bytes());
        seen += usize::from(holds("shop"));
        for secret in ["hunter2", "swordfish", "PASSWORD", "DATABASE_URL"] {
            assert!(!holds(secret), "{secret} in {}", path.display());
        }
    }
    assert!(seen >= 2, "the plain columns are found, in the ledger and in its copy");
}

#[tokio::test]
async fn a_backup_is_a_whole_ledger() {
    let (ledger, app) = Ledger::with_app().await;
    let copy = ledger.folder.path().join("copies").join("ledger.db");
    let no_folder = ledger.store.backup(&copy).await;
    assert!(matches!(no_folder, Err(StoreError::File { .. })), "{no_folder:?}");

    fs::create_dir(copy.parent().unwrap()).unwrap();
    ledger.store.backup(&copy).await.unwrap();
    ledger.store.write(|tx| tx.setting_put("later", "yes")).await.unwrap();
    ledger.store.backup(&copy).await.unwrap();
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(copy.parent().unwrap()).unwrap().count(), 1, "one file, no drafts");

    let store = Store::open(&copy, key()).unwrap();
    assert_eq!(store.read(|read| read.setting_get("later")).await.unwrap().as_deref(), Some("yes"));
    assert_eq!(store.read(move |read| read.app_fetch(app.id)).await.unwrap().name.as_str(), "shop");
}
