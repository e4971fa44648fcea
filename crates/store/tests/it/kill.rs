//! SIGKILL at any moment: what was answered is there, what is there is whole.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use renga_store::{Store, StoreError};
use tokio::task::JoinSet;

use crate::fixture::key;

/// Set for the child only: the ledger that it writes.
const CHILD: &str = "RENGA_STORE_TEST_LEDGER";
const WRITERS: u64 = 8;
const ROUNDS: usize = 6;

/// Not a test of its own: the process that is killed. Without the variable it does nothing.
#[tokio::test]
async fn child_writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let store = Store::open(Path::new(&path), key()).unwrap();
    let mut tasks = JoinSet::new();
    for _ in 0..WRITERS {
        let store = store.clone();
        tasks.spawn(async move {
            loop {
                let number = store.write(pair).await.unwrap();
                println!("answered {number}");
                std::io::stdout().flush().unwrap();
            }
        });
    }
    while tasks.join_next().await.is_some() {}
}

/// Two rows that belong together.
fn pair(tx: &renga_store::Tx<'_>) -> Result<u64, StoreError> {
    let number = tx.counter_next("pairs")?;
    tx.setting_put(&format!("{number}.left"), &"x".repeat(500))?;
    tx.setting_put(&format!("{number}.right"), &"y".repeat(500))?;
    Ok(number)
}

#[tokio::test]
async fn no_answered_write_is_lost_and_none_is_halved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut answered = Vec::new();
    for round in 0..ROUNDS {
        let new = write_and_kill(&path, 40 + 173 * round);
        assert!(new.iter().all(|number| !answered.contains(number)), "a counter repeated itself");
        answered.extend(new);
        check(&path, &answered).await;
    }
    assert!(answered.len() > 40 * ROUNDS);
}

/// Lets a child write until it has answered `enough` times, kills it, and tells what it had answered by then.
fn write_and_kill(path: &Path, enough: usize) -> Vec<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child_writes_until_it_is_killed", "--nocapture", "--test-threads=1"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut answered = Vec::new();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).split(b'\n');
    while let Some(Ok(line)) = lines.next() {
        let line = String::from_utf8(line).unwrap();
        answered.extend(line.rsplit_once("answered ").and_then(|(_, number)| number.parse::<u64>().ok()));
        if answered.len() == enough {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(answered.len() >= enough, "the child ended by itself after {} answers", answered.len());
    answered
}

async fn check(path: &Path, answered: &[u64]) {
    let conn = rusqlite::Connection::open(path).unwrap();
    let verdict: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
    drop(conn);

    let store = Store::open(path, key()).unwrap();
    let highest = answered.iter().max().copied().unwrap() + WRITERS;
    let halves = store
        .read(move |read| {
            let there = |name: String| Ok::<_, StoreError>(read.setting_get(&name)?.is_some());
            (1..=highest)
                .map(|n| Ok((there(format!("{n}.left"))?, there(format!("{n}.right"))?)))
                .collect::<Result<Vec<_>, StoreError>>()
        })
        .await
        .unwrap();
    assert!(halves.iter().all(|(left, right)| left == right), "half a transaction");
    for number in answered {
        let index = usize::try_from(number - 1).unwrap();
        assert!(halves[index].0, "{number} was answered and is lost");
    }
}
