use rusqlite::Connection;

use crate::{MasterKey, Store, StoreError};

fn open(folder: &tempfile::TempDir) -> Store {
    Store::open(&folder.path().join("ledger.db"), MasterKey::from_bytes([1; 32])).unwrap()
}

fn number(conn: &Connection, pragma: &str) -> i64 {
    conn.pragma_query_value(None, pragma, |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn every_connection_is_careful() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let settings = |conn: &Connection| {
        let mode: String = conn.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        let numbers = ["synchronous", "foreign_keys", "trusted_schema", "query_only"];
        format!("{mode} {:?}", numbers.map(|pragma| number(conn, pragma)))
    };
    let writer = store.write(move |tx| Ok::<_, StoreError>(settings(tx.conn))).await.unwrap();
    assert_eq!(writer, "wal [2, 1, 0, 0]");
    let reader = store.read(move |read| Ok::<_, StoreError>(settings(read.conn))).await.unwrap();
    assert_eq!(reader, "wal [2, 1, 0, 1]");
}

/// Whatever SQLite rolls back when the disk is full, nobody is told that something was kept which is not there.
#[tokio::test]
async fn a_full_disk_fails_truthfully_and_passes() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let limit = |pages: i64| {
        move |tx: &crate::Tx<'_>| {
            tx.conn.pragma_update(None, "max_page_count", number(tx.conn, "page_count") + pages).unwrap();
            Ok::<_, StoreError>(())
        }
    };
    store.write(limit(3)).await.unwrap();

    let (go, wait) = std::sync::mpsc::channel::<()>();
    let held = store.write(move |_| {
        wait.recv().unwrap();
        Ok::<_, StoreError>(())
    });
    let small = |name: &'static str| store.write(move |tx| tx.setting_put(name, "small"));
    let big = store.write(|tx| {
        let first = tx.setting_put("big", &"x".repeat(1 << 20));
        // Even a closure that carries on regardless writes nothing outside of its transaction.
        assert!(tx.setting_put("after", "x").is_err() || !tx.conn.is_autocommit());
        first
    });
    let release = async { go.send(()).unwrap() };
    let (held, before, big, after, ()) = tokio::join!(held, small("before"), big, small("after"), release);

    assert!(matches!(big, Err(StoreError::Full { .. })), "{big:?}");
    for (name, answer) in [("before", &before), ("after", &after)] {
        let found = store.read(move |read| read.setting_get(name)).await.unwrap();
        assert_eq!(found.is_some(), answer.is_ok(), "{name}: {answer:?}");
    }
    assert!(after.is_ok() && held.is_ok() == before.is_ok());
    assert_eq!(store.read(|read| read.setting_get("big")).await.unwrap(), None);

    store.write(limit(1_000)).await.unwrap();
    store.write(|tx| tx.setting_put("big", &"x".repeat(1 << 20))).await.unwrap();
}
