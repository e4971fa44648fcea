//! Outputs of builds and release commands.

use futures_util::StreamExt;
use renga_logs::{Limits, LogStore};
use renga_model::{BuildId, DynoId};
use renga_ports::{Logs, LogsError, OutputStream};
use renga_supervision::{LineEnd, NO_TAG, NewRecord, Stream};

use crate::world::{DEADLINE, World, drained, next, say};

#[tokio::test]
async fn every_reader_sees_all_of_it_live() {
    let world = World::new();
    let store = world.open();
    let (name, dyno) = (BuildId::random().to_string(), DynoId::random());
    assert!(matches!(store.output_read(&name).await, Err(LogsError::NoSuchOutput(_))));
    let mut writer = world.writer(dyno);
    store.output_append(&name, 0, "-----> Building\n").await.unwrap();
    store.follow_output(&name, dyno);
    let mut early = store.output_read(&name).await.unwrap();
    assert_eq!(next(&mut early).await.unwrap(), "-----> Building\n");
    say(&mut writer, "one");
    assert_eq!(next(&mut early).await.unwrap(), "one\n");
    say(&mut writer, "");
    let record =
        NewRecord { at_us: 0, stream: Stream::Stderr, end: LineEnd::Cut, tag: NO_TAG, data: b"no newline" };
    writer.append(&record).unwrap();
    writer.flush().unwrap();
    world.exit(dyno);
    drained(&store, dyno).await;
    for _ in 0..2 {
        store.output_append(&name, 1, "\n-----> Launching\n").await.unwrap();
        store.output_append(&name, 0, "never again\n").await.unwrap();
    }
    for _ in 0..2 {
        store.output_finish(&name).await.unwrap();
    }
    store.output_append(&name, 2, "too late\n").await.unwrap();
    let rest = to_end(early).await;
    assert_eq!(rest, "\nno newline\n-----> Launching\n");
    let all = format!("-----> Building\none\n{rest}");
    assert_eq!(read(&store, &name).await, all);
    drop(store);
    let store = world.open();
    assert_eq!(read(&store, &name).await, all);
    let listed = store.outputs().await.unwrap();
    assert!(listed.len() == 1 && listed[0].name == name && listed[0].bytes > 0, "{listed:?}");
    store.output_remove(&name).await.unwrap();
    assert_eq!(store.outputs().await.unwrap(), []);
    store.output_remove(&name).await.unwrap();
    assert!(matches!(store.output_read(&name).await, Err(LogsError::NoSuchOutput(_))));
}

#[tokio::test]
async fn an_output_that_has_not_begun_is_waited_for() {
    let mut world = World::new();
    world.limits = Limits { output_wait_max: DEADLINE, ..Limits::default() };
    let store = world.open();
    let (followed, appended) = (BuildId::random().to_string(), BuildId::random().to_string());
    let begin = async {
        // Both readers have looked in vain by now: they are polled first.
        tokio::task::yield_now().await;
        store.follow_output(&followed, DynoId::random());
        store.output_append(&appended, 0, "").await.unwrap();
    };
    let (one, two, ()) = tokio::join!(store.output_read(&followed), store.output_read(&appended), begin);
    store.output_append(&appended, 1, "text\n").await.unwrap();
    for name in [&followed, &appended] {
        store.output_finish(name).await.unwrap();
    }
    assert_eq!(to_end(one.unwrap()).await, "");
    assert_eq!(to_end(two.unwrap()).await, "text\n");
}

#[tokio::test]
async fn a_restart_in_the_middle_is_not_seen() {
    let world = World::new();
    let (name, dyno) = (BuildId::random().to_string(), DynoId::random());
    let mut writer = world.writer(dyno);
    let mut said = String::new();
    for round in 0..10 {
        let store = world.open();
        store.follow_output(&name, dyno);
        store.output_append(&name, 1, "start\n").await.unwrap();
        for n in 0..200 {
            say(&mut writer, format!("{round} {n}"));
            said.push_str(&format!("{round} {n}\n"));
        }
    }
    let store = world.open();
    store.follow_output(&name, dyno);
    let live = store.output_read(&name).await.unwrap();
    world.exit(dyno);
    drained(&store, dyno).await;
    store.output_finish(&name).await.unwrap();
    let seen = to_end(live).await;
    assert_eq!(seen.matches("start\n").count(), 1);
    assert_eq!(seen.replace("start\n", ""), said);
}

#[tokio::test]
async fn a_reader_ends_when_the_store_or_the_output_goes() {
    let world = World::new();
    let store = world.open();
    let name = BuildId::random().to_string();
    store.output_append(&name, 1, "text\n").await.unwrap();
    let removed = store.output_read(&name).await.unwrap();
    store.output_remove(&name).await.unwrap();
    to_end(removed).await;
    store.output_append(&name, 1, "text\n").await.unwrap();
    let closed = store.output_read(&name).await.unwrap();
    drop(store);
    assert_eq!(to_end(closed).await, "text\n");
}

#[tokio::test]
async fn an_endless_output_is_cut_from_its_beginning() {
    let mut world = World::new();
    world.limits = Limits { output_bytes_max: 200_000, ..Limits::default() };
    let store = world.open();
    let (name, dyno) = (BuildId::random().to_string(), DynoId::random());
    let mut writer = world.writer(dyno);
    store.follow_output(&name, dyno);
    for n in 0..20_000 {
        say(&mut writer, n.to_string());
    }
    world.exit(dyno);
    drained(&store, dyno).await;
    store.output_finish(&name).await.unwrap();
    let seen = read(&store, &name).await;
    let (note, lines) = seen.split_once('\n').unwrap();
    let lost =
        note.strip_prefix(" !     ").unwrap().strip_suffix(" lines of this output are no longer kept.");
    let lost: usize = lost.unwrap().parse().unwrap();
    assert_eq!(lines.lines().next().unwrap(), lost.to_string());
    assert_eq!(lines.lines().count() + lost, 20_000);
    let directory = world.config().outputs.join(&name);
    let files = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().metadata().unwrap().len());
    assert!(files.sum::<u64>() < 600_000);
}

#[tokio::test]
async fn names_cannot_leave_the_directory() {
    let world = World::new();
    let store = world.open();
    for name in ["", "../logs", "a/b", "x", "."] {
        assert!(store.output_append(name, 1, "text").await.is_err(), "{name}");
        assert!(store.output_read(name).await.is_err(), "{name}");
        assert!(store.output_remove(name).await.is_err(), "{name}");
        store.follow_output(name, DynoId::random());
    }
}

async fn read(store: &LogStore, name: &str) -> String {
    to_end(store.output_read(name).await.unwrap()).await
}

async fn to_end(stream: OutputStream) -> String {
    let pieces = stream.map(|piece| String::from_utf8(piece.to_vec()).unwrap()).collect::<Vec<_>>();
    tokio::time::timeout(DEADLINE, pieces).await.expect("the output ends").concat()
}
