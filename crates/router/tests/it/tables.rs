//! What the server tells the router, and what the router remembers.

use std::{os::unix::fs::PermissionsExt, sync::Arc, time::Instant};

use renga_model::{AppId, RouteApp, RouteChange, RouteTable, WebState};
use renga_ports::{RouteFeed, RouteFeedError};
use renga_router::UnixRouteFeed;

use crate::rig::{Backend, DEADLINE, Rig, app, config, dyno, patient_limits};

#[tokio::test]
async fn older_tables_are_refused() {
    let rig = Rig::start().await;
    let table = |generation| RouteTable {
        generation,
        apps: vec![app(WebState::NoWeb, vec![])],
        ..RouteTable::default()
    };
    assert_eq!(rig.feed.publish(&table(7)).await.unwrap().generation, 7);
    assert_eq!(rig.feed.publish(&table(7)).await.unwrap().generation, 7);
    // Another server, which knows less.
    let other = UnixRouteFeed::new(rig.directory.path().join("control.sock"));
    assert!(matches!(other.publish(&table(6)).await, Err(RouteFeedError::Stale { seen: 7 })));
    assert_eq!(other.publish(&table(8)).await.unwrap().generation, 8);
    // The first one asks for what it thinks is current.
    assert!(matches!(rig.feed.publish(&table(7)).await, Err(RouteFeedError::Stale { seen: 8 })));
}

/// A router that has the table before gets what has changed; another one the whole.
#[tokio::test]
async fn only_what_has_changed_travels() {
    let (rig, backend) = (Rig::start().await, Backend::mirror().await);
    let first = app(WebState::Up, vec![dyno(1, backend.address)]);
    let second = RouteApp {
        id: AppId::random(),
        hosts: vec!["second.localhost".into()],
        ..app(WebState::NoWeb, vec![])
    };
    let table = RouteTable { generation: 1, apps: vec![first.clone()], ..RouteTable::default() };
    let status = async |host: &str| rig.ask(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await.status;
    rig.feed.publish(&table).await.unwrap();
    let change = RouteChange { from: 1, to: 2, changed: vec![second.clone()], ..RouteChange::default() };
    // Were it to travel, the first app would be gone.
    let untold = RouteTable { generation: 2, apps: vec![second.clone()], ..RouteTable::default() };
    assert_eq!(rig.feed.publish_change(&untold, &change).await.unwrap().generation, 2);
    assert_eq!((status("app.localhost").await, status("second.localhost").await), (200, 503));
    // A server that knows nothing of the router, and one whose change begins elsewhere: the table itself.
    let other = UnixRouteFeed::new(rig.directory.path().join("control.sock"));
    let change = RouteChange { from: 2, to: 3, ..RouteChange::default() };
    other.publish_change(&RouteTable { generation: 3, ..untold.clone() }, &change).await.unwrap();
    assert_eq!((status("app.localhost").await, status("second.localhost").await), (404, 503));
    let change = RouteChange { from: 2, to: 4, gone: vec![second.id], ..RouteChange::default() };
    let whole = RouteTable { generation: 4, apps: vec![first, second], ..RouteTable::default() };
    rig.feed.publish_change(&whole, &change).await.unwrap();
    assert_eq!((status("app.localhost").await, status("second.localhost").await), (200, 503));
    let older = RouteTable { generation: 3, apps: vec![], ..RouteTable::default() };
    assert!(matches!(
        other.publish_change(&older, &RouteChange { from: 2, to: 3, ..RouteChange::default() }).await,
        Err(RouteFeedError::Stale { seen: 4 })
    ));
}

#[tokio::test]
async fn requests_of_a_dyno_that_left_are_counted_until_they_end() {
    let mut limits = patient_limits();
    limits.first_byte_timeout = DEADLINE;
    let mut rig = Rig::with(limits).await;
    let (say, told) = tokio::sync::watch::channel(false);
    let (seen, mut saw) = tokio::sync::mpsc::unbounded_channel();
    let old = Backend::start(move |mut client| {
        let (mut told, seen) = (told.clone(), seen.clone());
        async move {
            client.head().await;
            seen.send(()).unwrap();
            told.wait_for(|told| *told).await.unwrap();
            client.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nold").await;
            client.rest().await;
            seen.send(()).unwrap();
        }
    })
    .await;
    let new = Backend::mirror().await;
    let before = dyno(1, old.address);
    rig.publish(app(WebState::Up, vec![before.clone()])).await;
    let mut client = rig.client().await;
    client.send("GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await;
    saw.recv().await.unwrap();
    let published = rig.publish(app(WebState::Up, vec![dyno(2, new.address)])).await;
    assert_eq!(published.in_flight.get(&before.id), Some(&1));
    assert_eq!(rig.get("/").await.status, 200);
    assert!(rig.line().await.contains(" dyno=web.2 "));
    say.send(true).unwrap();
    assert_eq!(client.reply().await.body, "old");
    assert_eq!(rig.feed_in_flight().await, 0);
    // The idle connection to the dyno that left is let go too, so that it can stop cleanly.
    saw.recv().await.unwrap();
}

#[tokio::test]
async fn a_router_that_starts_alone_goes_on_with_its_last_table() {
    let (mut rig, backend) = (Rig::start().await, Backend::mirror().await);
    rig.serve(&[backend.address]).await;
    rig.serve(&[backend.address]).await;
    let file = rig.directory.path().join("table.json");
    let end = Instant::now() + DEADLINE;
    while !std::fs::read_to_string(&file).is_ok_and(|text| text.contains("\"generation\":2")) {
        assert!(Instant::now() < end, "the table was not written");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let directory = rig.directory.clone();
    rig.stop().await;

    let mut again = Rig::from(directory.clone(), config(&directory, patient_limits())).await;
    assert_eq!(again.get("/").await.status, 200);
    assert!(again.line().await.contains(" dyno=web.1 "));
    let older = RouteTable { generation: 1, apps: vec![], ..RouteTable::default() };
    assert!(matches!(again.feed.publish(&older).await, Err(RouteFeedError::Stale { seen: 2 })));
}

#[tokio::test]
async fn a_feed_outlives_the_router_and_publishes_again_what_it_lost() {
    let (mut rig, backend) = (Rig::start().await, Backend::mirror().await);
    rig.serve(&[backend.address]).await;
    let table = RouteTable {
        generation: 1,
        apps: vec![app(WebState::Up, vec![dyno(1, backend.address)])],
        ..RouteTable::default()
    };
    let feed = UnixRouteFeed::new(rig.directory.path().join("control.sock"));
    feed.publish(&table).await.unwrap();
    let directory = rig.directory.clone();
    rig.stop().await;
    assert!(matches!(feed.publish(&table).await, Err(RouteFeedError::Away(_))));
    std::fs::remove_file(directory.path().join("table.json")).unwrap();
    let again = Rig::from(directory.clone(), config(&directory, patient_limits())).await;
    assert_eq!(again.get("/").await.status, 404);
    assert_eq!(feed.publish(&table).await.unwrap().generation, 1);
    assert_eq!(again.get("/").await.status, 200);
}

#[tokio::test]
async fn only_the_group_may_connect() {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let mode =
        |name: &str| std::fs::metadata(directory.path().join(name)).unwrap().permissions().mode() & 0o7777;
    let rig = Rig::from(directory.clone(), config(&directory, patient_limits())).await;
    assert_eq!((mode("control.sock"), mode("log")), (0o600, 0o700));
    rig.stop().await;
    let mut shared = config(&directory, patient_limits());
    // Our own group: the one that every uid may give to its files.
    let own = std::os::unix::fs::MetadataExt::gid(&std::fs::metadata(directory.path()).unwrap());
    shared.control_gid = Some(own);
    let rig = Rig::from(directory.clone(), shared).await;
    assert_eq!((mode("control.sock"), mode("log")), (0o660, 0o2750));
    rig.stop().await;
}

#[tokio::test]
async fn a_request_for_an_app_that_sleeps_is_told_and_held() {
    let (mut rig, backend) = (Rig::with(renga_router::Limits::default()).await, Backend::mirror().await);
    rig.publish(app(WebState::Asleep, vec![])).await;
    let id = app(WebState::Asleep, vec![]).id;
    let quiet = rig.feed.traffic(std::time::Duration::ZERO).await.unwrap();
    assert!(quiet.waiting.is_empty() && quiet.idle.contains_key(&id), "{quiet:?}");

    // The question is open before the request comes, and tables are published meanwhile.
    let (traffic, mut client) = (rig.feed.traffic(DEADLINE), rig.client().await);
    let ask = async {
        client.send("GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await;
    };
    let (traffic, ()) = tokio::join!(traffic, ask);
    let traffic = traffic.unwrap();
    assert_eq!((traffic.waiting, traffic.idle.len()), ([id].into(), 0));
    // Whoever missed the answer asks again.
    assert_eq!(rig.feed.traffic(DEADLINE).await.unwrap().waiting, [id].into());
    rig.publish(app(WebState::Booting, vec![])).await;
    assert!(rig.feed.traffic(std::time::Duration::ZERO).await.unwrap().waiting.is_empty());
    rig.serve(&[backend.address]).await;
    assert_eq!(client.reply().await.status, 200);
    assert!(rig.line().await.contains(" dyno=web.1 "));
    let after = rig.feed.traffic(std::time::Duration::ZERO).await.unwrap();
    assert!(after.idle[&id] < quiet.idle[&id] + DEADLINE, "{after:?}");
}

#[tokio::test]
async fn whoever_asks_for_traffic_and_leaves_takes_no_place() {
    let mut rig = Rig::start().await;
    rig.publish(app(WebState::Asleep, vec![])).await;
    let socket = rig.directory.path().join("control.sock");
    for _ in 0..40 {
        let feed = UnixRouteFeed::new(&socket);
        let asking = feed.traffic(DEADLINE);
        // Dropped with its connection as soon as the question is on its way.
        tokio::time::timeout(std::time::Duration::from_millis(5), asking).await.unwrap_err();
    }
    let table = RouteTable { generation: 99, apps: vec![], ..RouteTable::default() };
    assert_eq!(rig.feed.publish(&table).await.unwrap().generation, 99);
}
