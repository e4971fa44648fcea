//! What dynos and the router say.

use std::time::{Duration, Instant};

use renga_model::{AppId, DynoId, DynoKind, LogFilter};
use renga_ports::Logs;
use renga_supervision::Label;

use crate::world::{World, backlog, drained, next, say, segments, tagged, take, texts, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_reaches_a_tail_at_once() {
    let world = World::new();
    let store = world.open();
    let (app, dyno) = (AppId::random(), DynoId::random());
    let mut writer = world.writer(dyno);
    store.follow_dyno(app, dyno, "web.1");
    store.follow_dyno(app, dyno, "web.1");
    let mut tail = store.session(app, LogFilter::default(), 100, true, None).await.unwrap();
    say(&mut writer, "first");
    assert_eq!(take(&mut tail, 1).await, ["app[web.1]: first"]);
    let mut delays = Vec::new();
    for n in 0..50 {
        let said = Instant::now();
        say(&mut writer, format!("line {n}"));
        assert_eq!(take(&mut tail, 1).await, [format!("app[web.1]: line {n}")]);
        delays.push(said.elapsed());
    }
    delays.sort();
    println!("a line is seen after {:?} (median), {:?} (worst of 50)", delays[25], delays[49]);
    assert!(delays[25] < Duration::from_millis(50), "{delays:?}");
}

#[tokio::test]
async fn lines_are_kept_as_they_are() {
    let world = World::new();
    let store = world.open();
    let (app, dyno) = (AppId::random(), DynoId::random());
    let mut writer = world.writer(dyno);
    store.follow_dyno(app, dyno, "worker.2");
    for data in
        [&b"one"[..], b"", b"  indented", b"caf\xe9 \xff", "Gr\u{fc}\u{df}e".as_bytes(), &[b'x'; 10_000]]
    {
        say(&mut writer, data);
    }
    world.exit(dyno);
    drained(&store, dyno).await;
    let long = format!("app[worker.2]: {}", "x".repeat(10_000));
    let expected = [
        "app[worker.2]: one",
        "app[worker.2]: ",
        "app[worker.2]:   indented",
        "app[worker.2]: caf\u{fffd} \u{fffd}",
        "app[worker.2]: Grüße",
        &long,
    ];
    assert_eq!(texts(&store, app).await, expected);
    let entries = backlog(&store, app, 100).await;
    assert!(entries.is_sorted_by(|a, b| a.id < b.id));
}

#[tokio::test]
async fn a_dyno_that_comes_late_is_found() {
    let world = World::new();
    let store = world.open();
    let (app, dyno) = (AppId::random(), DynoId::random());
    store.follow_dyno(app, dyno, "web.1");
    let mut tail = store.session(app, LogFilter::default(), 10, true, None).await.unwrap();
    let mut writer = world.writer(dyno);
    say(&mut writer, "hello");
    assert_eq!(take(&mut tail, 1).await, ["app[web.1]: hello"]);
}

#[tokio::test]
async fn drained_waits_for_the_exit_and_takes_everything() {
    let world = World::keeping_all();
    let store = world.open();
    let (app, dyno) = (AppId::random(), DynoId::random());
    let mut writer = world.writer(dyno);
    store.follow_dyno(app, dyno, "run.1");
    let waiting = {
        let store = store.clone();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move { drained(&store, dyno).await });
        tasks
    };
    for n in 0..20_000 {
        say(&mut writer, n.to_string());
    }
    world.exit(dyno);
    waiting.join_all().await;
    assert_eq!(backlog(&store, app, usize::MAX).await.len(), 20_000);
    // Again, and for one that never was.
    drained(&store, dyno).await;
    drained(&store, DynoId::random()).await;
}

#[tokio::test]
async fn an_exited_dyno_that_nobody_followed_is_known_by_its_label() {
    let world = World::new();
    let (app, dyno) = (AppId::random(), DynoId::random());
    say(&mut world.writer(dyno), "last words");
    let name = "web.3".parse().unwrap();
    let label = Label { id: dyno, generation: 1, app, kind: DynoKind::Formation, name };
    world.dyno(dyno).write_label(&label).unwrap();
    world.exit(dyno);
    let store = world.open();
    drained(&store, dyno).await;
    assert_eq!(texts(&store, app).await, ["app[web.3]: last words"]);
    // Following it again, as the engine does while it is in the inventory, changes nothing.
    store.follow_dyno(app, dyno, "web.3");
    drained(&store, dyno).await;
    assert_eq!(texts(&store, app).await.len(), 1);
}

#[tokio::test]
async fn overwritten_records_are_counted_and_told() {
    let world = World::keeping_all();
    let (app, dyno) = (AppId::random(), DynoId::random());
    let store = world.open();
    let mut writer = segments(&world.dyno(dyno).log(), 256 * 1024);
    store.follow_dyno(app, dyno, "web.1");
    say(&mut writer, "0");
    until("the first line is there", || async { texts(&store, app).await.len() == 1 }).await;
    drop(store);
    for n in 1..10_000 {
        say(&mut writer, format!("{n}"));
    }
    let store = world.open();
    store.follow_dyno(app, dyno, "web.1");
    world.exit(dyno);
    drained(&store, dyno).await;
    let seen = texts(&store, app).await;
    let told = seen[1].strip_prefix("heroku[web.1]: Error L12: ").expect("the loss comes second");
    let (count, rest) = told.split_once(' ').unwrap();
    assert!(rest.starts_with("messages dropped since 20"), "{rest}");
    let count: usize = count.parse().unwrap();
    assert!(count > 1_000);
    assert_eq!(seen.len() - 1 + count, 10_000);
    assert_eq!(seen[2], format!("app[web.1]: {}", count + 1));
    assert_eq!(seen.last().unwrap(), "app[web.1]: 9999");
}

#[tokio::test]
async fn the_routers_lines_go_to_their_apps_once() {
    let world = World::keeping_all();
    let (a, b) = (AppId::random(), AppId::random());
    let mut router = world.router();
    let mut said = 0;
    for round in 0..6 {
        if round == 4 {
            // The journals alone know what has been taken.
            std::fs::remove_file(world.config().root.join("router.position")).unwrap();
        }
        let store = world.open();
        for _ in 0..500 {
            tagged(&mut router, a.uuid().into_bytes(), format!("at=info n={said}"));
            if said % 5 == 0 {
                tagged(&mut router, b.uuid().into_bytes(), format!("at=info n={said}"));
            }
            said += 1;
        }
        if round % 2 == 0 {
            // Some rounds end with work undone.
            until("all are taken", || async { texts(&store, a).await.len() == said }).await;
        }
    }
    let store = world.open();
    until("all are taken", || async { texts(&store, a).await.len() >= said }).await;
    until("all are taken", || async { texts(&store, b).await.len() >= said / 5 }).await;
    let expected: Vec<_> = (0..said).map(|n| format!("heroku[router]: at=info n={n}")).collect();
    assert_eq!(texts(&store, a).await, expected);
    let expected: Vec<_> = (0..said).step_by(5).map(|n| format!("heroku[router]: at=info n={n}")).collect();
    assert_eq!(texts(&store, b).await, expected);
}

#[tokio::test]
async fn a_journal_that_cannot_be_written_is_caught_up_later() {
    let world = World::new();
    let store = world.open();
    let (app, other, dyno) = (AppId::random(), AppId::random(), DynoId::random());
    let place = world.config().root.join(app.to_string());
    std::fs::write(&place, "in the way").unwrap();
    let mut writer = world.writer(dyno);
    store.follow_dyno(app, dyno, "web.1");
    for n in 0..10 {
        say(&mut writer, n.to_string());
        store.write(app, crate::world::line(renga_model::LogSource::App, "api", format!("api {n}")));
    }
    // Others are not held up.
    store.write(other, crate::world::line(renga_model::LogSource::App, "api", "fine"));
    until("the other app's line", || async { texts(&store, other).await.len() == 1 }).await;
    std::fs::remove_file(&place).unwrap();
    let mut tail = store.session(app, LogFilter::default(), 100, true, None).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 11 {
        seen.push(crate::world::shown(&next(&mut tail).await.unwrap()));
    }
    let lost =
        |text: &&String| text.starts_with("heroku[logplex]: Error L10 (output buffer overflow): 10 messages");
    assert_eq!(seen.iter().filter(lost).count(), 1, "{seen:?}");
    let lines: Vec<_> = seen.iter().filter(|text| text.starts_with("app[web.1]")).cloned().collect();
    assert_eq!(lines, (0..10).map(|n| format!("app[web.1]: {n}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn apps_that_say_nothing_hold_no_file() {
    let mut world = World::new();
    world.limits.idle_max = Duration::from_millis(10);
    let store = world.open();
    let mut apps = Vec::new();
    for _ in 0..50 {
        let (app, dyno) = (AppId::random(), DynoId::random());
        apps.push((app, world.writer(dyno)));
        store.follow_dyno(app, dyno, "web.1");
    }
    // Each round finds everything closed, opens it, and goes on where it was.
    for round in 1..=2 {
        for (_, writer) in &mut apps {
            say(writer, round.to_string());
        }
        for (app, _) in &apps {
            until("its line", || async { texts(&store, *app).await.len() == round }).await;
        }
        until("only the dynos hold files", || async { open_files(&world) == apps.len() }).await;
    }
}

/// Files below the test's directory that this process has open.
fn open_files(world: &World) -> usize {
    let links = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    links
        .filter_map(|link| std::fs::read_link(link.path()).ok())
        .filter(|file| file.starts_with(world.directory.path()))
        .count()
}
