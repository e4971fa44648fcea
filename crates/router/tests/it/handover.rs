//! The listening sockets go from router to router, and nobody who connects notices.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use renga_router::{Listeners, Router};
use tokio::{net::TcpStream, task::JoinSet};

use crate::rig::{Backend, Peer, app, config, dyno, patient_limits};

/// Those who connect at one time. Each asks once, and comes again.
const CLIENTS: usize = 32;
/// Threads of one router after the other. There are four sockets of each port, and six before the last.
const THREADS: [usize; 6] = [4, 1, 3, 2, 8, 6];
const SOCKETS_AT_LAST: usize = 6;

fn again(listeners: &Listeners) -> Listeners {
    let all =
        |sockets: &[std::net::TcpListener]| sockets.iter().map(|one| one.try_clone().unwrap()).collect();
    Listeners { http: all(&listeners.http), tls: all(&listeners.tls) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_connection_is_refused_reset_or_left_waiting() {
    let (directory, backend) = (Arc::new(tempfile::tempdir().unwrap()), Backend::mirror().await);
    let mut config = config(&directory, patient_limits());
    config.threads = THREADS[0];
    let mut listeners = Listeners::bind(&config).unwrap();
    let address = listeners.addresses().unwrap().http;
    let mut router = Router::start(config.clone(), again(&listeners)).await.unwrap();
    let feed = renga_router::UnixRouteFeed::new(directory.path().join("control.sock"));
    let web = app(renga_model::WebState::Up, vec![dyno(1, backend.address)]);
    let table = renga_model::RouteTable { generation: 1, apps: vec![web], ..Default::default() };
    renga_ports::RouteFeed::publish(&feed, &table).await.unwrap();

    let (over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (over, answered) = (over.clone(), answered.clone());
        clients.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let stream = TcpStream::connect(address).await.expect("nobody is refused");
                let mut client = Peer::new(stream);
                client.send("GET / HTTP/1.1\r\nHost: app.localhost\r\nConnection: close\r\n\r\n").await;
                // A connection in a queue that nobody accepts from would wait here for longer than the deadline.
                assert_eq!(client.reply().await.status, 200);
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    // Each router serves many before the next one comes.
    let served = async |more: usize| {
        let goal = answered.load(Ordering::Relaxed) + more;
        while answered.load(Ordering::Relaxed) < goal {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    served(200).await;
    for threads in &THREADS[1..] {
        router.stop().await.unwrap();
        if *threads == SOCKETS_AT_LAST {
            listeners.widen(SOCKETS_AT_LAST).unwrap();
            assert_eq!((listeners.http.len(), listeners.tls.len()), (SOCKETS_AT_LAST, SOCKETS_AT_LAST));
            assert_eq!(listeners.addresses().unwrap().http, address);
        }
        config.threads = *threads;
        router = Router::start(config.clone(), again(&listeners)).await.unwrap();
        served(200).await;
    }
    over.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended.expect("no client failed");
    }
    router.stop().await.unwrap();
}
