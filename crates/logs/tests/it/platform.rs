//! Lines of the platform, and sessions.

use renga_logs::Limits;
use renga_model::{AppId, LogFilter, LogSource, NumberedLine};
use renga_ports::Logs;

use crate::world::{World, backlog, line, next, shown, take, texts, until};

#[tokio::test]
async fn sessions_filter_and_count_from_the_end() {
    let world = World::new();
    let store = world.open();
    let app = AppId::random();
    for n in 0..30 {
        store.write(app, line(LogSource::App, &format!("web.{}", n % 3), n.to_string()));
        store.write(app, line(LogSource::Heroku, "router", n.to_string()));
    }
    until("all lines", || async { texts(&store, app).await.len() == 60 }).await;
    let list = |source: Option<&str>, ps: Option<&str>, lines| {
        let filter = LogFilter { source: source.map(Into::into), ps: ps.map(Into::into) };
        let store = store.clone();
        async move {
            let mut session = store.session(app, filter, lines, false, None).await.unwrap();
            let mut seen = Vec::new();
            while let Some(entry) = next(&mut session).await {
                seen.push(shown(&entry));
            }
            seen
        }
    };
    assert_eq!(list(None, Some("web.1"), 2).await, ["app[web.1]: 25", "app[web.1]: 28"]);
    assert_eq!(list(None, Some("web"), 100).await.len(), 30);
    assert_eq!(list(Some("heroku"), None, 1).await, ["heroku[router]: 29"]);
    assert_eq!(list(None, Some("we"), 100).await.len(), 0);
    assert_eq!(list(None, None, 0).await.len(), 0);
    assert_eq!(backlog(&store, AppId::random(), 10).await, []);
}

#[tokio::test]
async fn a_tail_goes_on_behind_an_id() {
    let world = World::new();
    let app = AppId::random();
    let store = world.open();
    let mut tail = store.session(app, LogFilter::default(), 10, true, None).await.unwrap();
    store.write(app, line(LogSource::App, "api", "one"));
    let first = next(&mut tail).await.unwrap();
    store.write(app, line(LogSource::App, "api", "two"));
    assert_eq!(take(&mut tail, 1).await, ["app[api]: two"]);
    drop(store);
    // The store has gone, so the session ends.
    assert_eq!(next(&mut tail).await, None);

    let store = world.open();
    store.write(app, line(LogSource::App, "api", "three"));
    let mut resumed = store.session(app, LogFilter::default(), 0, true, Some(first.id)).await.unwrap();
    assert_eq!(take(&mut resumed, 2).await, ["app[api]: two", "app[api]: three"]);
    store.app_remove(app).await.unwrap();
    assert_eq!(next(&mut resumed).await, None);
    assert!(!world.config().root.join(app.to_string()).exists());
    // What comes late for an app that has gone does not bring it back.
    store.write(app, line(LogSource::App, "api", "four"));
    store.write(AppId::random(), line(LogSource::App, "api", "elsewhere"));
    drop(store);
    assert!(!world.config().root.join(app.to_string()).exists());
}

#[tokio::test]
async fn the_last_lines_are_kept_and_the_disk_is_bounded() {
    let world = World::new();
    let app = AppId::random();
    let mut last_id = 0;
    for round in 0..4 {
        let store = world.open();
        for n in 0..5_000 {
            store.write(app, line(LogSource::App, "web.1", format!("{round} {n} {}", "x".repeat(100))));
            if n % 1_000 == 999 {
                let newest = format!("{round} {n} ");
                until("what was written is there", || async {
                    backlog(&store, app, 1).await.iter().any(|entry| entry.line.text.starts_with(&newest))
                })
                .await;
            }
        }
        let entries = backlog(&store, app, 1_500).await;
        assert_eq!(entries.len(), 1_500);
        assert!(entries[0].line.text.starts_with(&format!("{round} 3500 ")));
        assert!(entries[0].id > last_id);
        last_id = entries.last().unwrap().id;
        assert_eq!(last_id, (round + 1) * 5_000);
    }
    let files: Vec<_> = std::fs::read_dir(world.config().root.join(app.to_string())).unwrap().collect();
    assert!(files.len() <= 2, "{files:?}");
    let bytes: u64 = files.into_iter().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes < 4 * 1024 * 1024, "{bytes}");
}

#[tokio::test]
async fn a_session_that_falls_behind_is_told_how_far() {
    let mut world = World::new();
    world.limits = Limits { lines_kept_min: 100, log_file_bytes_min: 0, ..Limits::default() };
    let store = world.open();
    let app = AppId::random();
    let mut tail = store.session(app, LogFilter::default(), 10, true, None).await.unwrap();
    store.write(app, line(LogSource::App, "web.1", "0"));
    assert_eq!(take(&mut tail, 1).await, ["app[web.1]: 0"]);
    // One file at a time is written, so that the reader's own file goes.
    for n in 1..=1_000 {
        store.write(app, line(LogSource::App, "web.1", n.to_string()));
        if n % 50 == 0 {
            let newest = n.to_string();
            until("written", || async { backlog(&store, app, 1).await[0].line.text == newest }).await;
        }
    }
    let mut seen = Vec::new();
    while seen.last().is_none_or(|text: &String| !text.ends_with(": 1000")) {
        seen.push(shown(&next(&mut tail).await.unwrap()));
    }
    let told = seen.iter().position(|text| text.contains("L11")).expect("the loss is told");
    let text = seen[told]
        .strip_prefix("heroku[logplex]: Error L11 (Tail buffer overflow) -> This tail session dropped ");
    let (count, rest) = text.unwrap().split_once(' ').unwrap();
    assert!(rest.starts_with("messages since 20"), "{rest}");
    let count: usize = count.parse().unwrap();
    assert_eq!(seen.len() - 1 + count, 1_000);
}

#[tokio::test]
async fn a_full_queue_drops_the_oldest_and_says_so() {
    let mut world = World::keeping_all();
    world.limits.queue_lines_max = 10;
    let store = world.open();
    let app = AppId::random();
    for n in 0..20_000 {
        store.write(app, line(LogSource::App, "api", n.to_string()));
    }
    until("the last line", || async {
        backlog(&store, app, 1).await.first().is_some_and(|entry| entry.line.text == "19999")
    })
    .await;
    let mut told = 0;
    let mut lines = 0;
    for text in texts(&store, app).await {
        match text.strip_prefix("heroku[logplex]: Error L10 (output buffer overflow): ") {
            Some(rest) => told += rest.split_once(' ').unwrap().0.parse::<usize>().unwrap(),
            None => lines += 1,
        }
    }
    assert!(told > 0);
    assert_eq!(told + lines, 20_000);
}

#[tokio::test]
async fn long_and_many_lines_become_several() {
    let world = World::new();
    let store = world.open();
    let app = AppId::random();
    store.write(app, line(LogSource::App, "api", format!("one\n\n{}", "ü".repeat(7_500))));
    until("all parts", || async { texts(&store, app).await.len() == 4 }).await;
    let parts: Vec<_> = backlog(&store, app, 10).await.into_iter().map(|entry| entry.line.text).collect();
    assert_eq!(parts, ["one", "", &"ü".repeat(5_000), &"ü".repeat(2_500)]);
}

#[tokio::test]
async fn many_apps_at_once() {
    let world = World::new();
    let store = world.open();
    let apps: Vec<_> = (0..600).map(|_| AppId::random()).collect();
    for round in 0..3 {
        for app in &apps {
            store.write(*app, line(LogSource::App, "api", round.to_string()));
        }
    }
    for app in &apps {
        until("three lines", || async { backlog(&store, *app, 10).await.len() == 3 }).await;
        assert_eq!(texts(&store, *app).await, ["app[api]: 0", "app[api]: 1", "app[api]: 2"]);
    }
}

#[tokio::test]
async fn what_was_told_before_is_not_told_again() {
    let world = World::new();
    let (app, other) = (AppId::random(), AppId::random());
    let said =
        |number, app, text: &str| NumberedLine { number, app, line: line(LogSource::Heroku, "web.1", text) };
    let store = world.open();
    store
        .tell(vec![said(3, app, "one"), said(4, other, "theirs"), said(7, app, "two\nthree")])
        .await
        .unwrap();
    let shown = ["heroku[web.1]: one", "heroku[web.1]: two", "heroku[web.1]: three"];
    // Nobody has to wait for it: it is there when the call returns.
    assert_eq!(texts(&store, app).await, shown);
    store.tell(vec![said(3, app, "one"), said(7, app, "two\nthree")]).await.unwrap();
    drop(store);

    let store = world.open();
    store.tell(vec![said(7, app, "two\nthree"), said(8, app, "four")]).await.unwrap();
    assert_eq!(texts(&store, app).await, [&shown[..], &["heroku[web.1]: four"]].concat());
    assert_eq!(texts(&store, other).await, ["heroku[web.1]: theirs"]);
}

#[tokio::test]
async fn the_last_number_is_known_when_its_line_has_gone() {
    let mut world = World::new();
    (world.limits.lines_kept_min, world.limits.log_file_bytes_min) = (1, 1);
    let app = AppId::random();
    let said =
        |number: u64| NumberedLine { number, app, line: line(LogSource::App, "api", number.to_string()) };
    let store = world.open();
    store.tell(vec![said(1)]).await.unwrap();
    for n in 0..10 {
        store.write(app, line(LogSource::App, "api", format!("other {n}")));
        until("the line", || async { texts(&store, app).await.contains(&format!("app[api]: other {n}")) })
            .await;
    }
    drop(store);
    let store = world.open();
    store.tell(vec![said(1), said(2)]).await.unwrap();
    let seen = texts(&store, app).await;
    assert!(
        seen.ends_with(&["app[api]: 2".to_owned()]) && !seen.contains(&"app[api]: 1".to_owned()),
        "{seen:?}"
    );
}
