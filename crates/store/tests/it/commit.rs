//! Transactions: shared commits, isolation of requests from each other, snapshots.

use std::sync::mpsc;

use renga_store::StoreError;
use tokio::task::JoinSet;

use crate::fixture::Ledger;

/// Keeps the writer busy until the sender is used or dropped.
fn hold(ledger: &Ledger, tasks: &mut JoinSet<Result<(), StoreError>>) -> mpsc::Sender<()> {
    let (go, wait) = mpsc::channel::<()>();
    let store = ledger.store.clone();
    tasks.spawn(async move {
        store
            .write(move |_| {
                wait.recv().ok();
                Ok(())
            })
            .await
    });
    go
}

#[tokio::test]
async fn requests_that_wait_together_share_a_commit() {
    let ledger = Ledger::new();
    let mut tasks = JoinSet::new();
    let go = hold(&ledger, &mut tasks);
    for number in 0..500 {
        let store = ledger.store.clone();
        tasks.spawn(async move {
            let name = format!("k{number}");
            store.write(move |tx| tx.setting_put(&name, "v")).await
        });
    }
    // One thread runs the tasks in the order of their making: after one turn all requests are in the queue.
    tokio::task::yield_now().await;
    drop(go);
    assert!(tasks.join_all().await.into_iter().all(|answer| answer.is_ok()));
    let counts = ledger.store.writer_counts();
    assert_eq!(counts.requests, 501);
    assert!(counts.commits <= 4, "{counts:?}");
    assert!(ledger.store.read(|read| read.setting_get("k499")).await.unwrap().is_some());
}

#[tokio::test]
async fn more_callers_than_places_in_the_queue_all_get_their_turn() {
    let ledger = Ledger::new();
    let mut tasks = JoinSet::new();
    let go = hold(&ledger, &mut tasks);
    for _ in 0..3_000 {
        let store = ledger.store.clone();
        tasks.spawn(async move { store.write(|tx| tx.counter_next("n").map(drop)).await });
    }
    tokio::task::yield_now().await;
    drop(go);
    assert!(tasks.join_all().await.into_iter().all(|answer| answer.is_ok()));
    assert_eq!(ledger.store.write(|tx| tx.counter_next("n")).await.unwrap(), 3_001);
}

#[tokio::test]
async fn an_error_or_a_panic_undoes_one_request_only() {
    let ledger = Ledger::new();
    let mut tasks = JoinSet::new();
    let go = hold(&ledger, &mut tasks);
    let store = &ledger.store;
    let good = |name: &'static str| store.write(move |tx| tx.setting_put(name, "v"));
    let failing = store.write(|tx| {
        tx.setting_put("failed", "v")?;
        tx.counter_next("n")?;
        Err::<(), _>(StoreError::NotFound { what: "app" })
    });
    let panicking = store.write(|tx| {
        tx.setting_put("panicked", "v")?;
        if tx.setting_get("panicked")?.is_some() {
            panic!("on purpose");
        }
        Ok::<_, StoreError>(())
    });
    let release = async {
        tokio::task::yield_now().await;
        drop(go);
    };
    let (a, failed, b, panicked, c, ()) =
        tokio::join!(good("a"), failing, good("b"), panicking, good("c"), release);
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    assert!(matches!(failed, Err(StoreError::NotFound { what: "app" })));
    assert!(matches!(panicked, Err(StoreError::Panicked { message }) if message == "on purpose"));
    let names = ["a", "b", "c", "failed", "panicked"];
    let found = store
        .read(move |read| {
            names.iter().map(|name| read.setting_get(name)).collect::<Result<Vec<_>, StoreError>>()
        })
        .await
        .unwrap();
    assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, true, false, false]);
    assert_eq!(store.write(|tx| tx.counter_next("n")).await.unwrap(), 1, "the counter was undone too");
    assert!(tasks.join_all().await.into_iter().all(|answer| answer.is_ok()));
}

#[tokio::test]
async fn a_caller_that_stops_waiting_does_not_call_back_its_request() {
    let ledger = Ledger::new();
    let mut tasks = JoinSet::new();
    let go = hold(&ledger, &mut tasks);
    let store = ledger.store.clone();
    let waiting = tasks.spawn(async move { store.write(|tx| tx.setting_put("kept", "v")).await });
    tokio::task::yield_now().await;
    waiting.abort();
    drop(go);
    while tasks.join_next().await.is_some() {}
    // The queue is in order: when this one is answered, the abandoned one has been carried out.
    assert!(ledger.store.write(|tx| tx.setting_get("kept")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_reader_sees_one_moment() {
    let ledger = Ledger::new();
    let (seen, first_seen) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let reading = ledger.store.read(move |read| {
        let before = read.setting_get("x")?;
        seen.send(()).unwrap();
        wait.recv().unwrap();
        Ok::<_, StoreError>((before, read.setting_get("x")?))
    });
    let store = ledger.store.clone();
    let writing = async move {
        tokio::task::spawn_blocking(move || first_seen.recv().unwrap()).await.unwrap();
        store.write(|tx| tx.setting_put("x", "new")).await.unwrap();
        let fresh = store.read(|read| read.setting_get("x")).await.unwrap();
        go.send(()).unwrap();
        fresh
    };
    let (snapshot, fresh) = tokio::join!(reading, writing);
    assert_eq!(snapshot.unwrap(), (None, None));
    assert_eq!(fresh.as_deref(), Some("new"), "another reader sees what was answered");
}

#[tokio::test]
async fn a_panicking_reader_harms_nobody() {
    let ledger = Ledger::new();
    for _ in 0..5 {
        let answer: Result<(), StoreError> = ledger.store.read(|_| panic!("on purpose")).await;
        assert!(matches!(answer, Err(StoreError::Panicked { .. })));
    }
    assert!(ledger.store.read(|read| read.app_list()).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_last_clone_may_die_inside_a_closure() {
    let ledger = Ledger::new();
    let (path, store) = (ledger.path(), ledger.store.clone());
    drop(ledger.store);
    let (done, wait) = mpsc::channel::<()>();
    let inner = store.clone();
    let future = async move {
        let answer = store
            .write(move |tx| {
                wait.recv().ok();
                drop(inner);
                tx.setting_put("k", "v")
            })
            .await;
        drop(store);
        answer
    };
    let mut tasks = JoinSet::new();
    let task = tasks.spawn(future);
    tokio::task::yield_now().await;
    task.abort();
    while tasks.join_next().await.is_some() {}
    drop(done);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let reopened = loop {
        match renga_store::Store::open(&path, crate::fixture::key()) {
            Err(StoreError::Locked { .. }) if std::time::Instant::now() < deadline => {
                std::thread::yield_now()
            }
            other => break other.unwrap(),
        }
    };
    assert!(reopened.read(|read| read.setting_get("k")).await.unwrap().is_some());
}
