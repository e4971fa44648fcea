//! Dynos come and go under load, each killed the moment the router says that it has no request left.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use renga_model::{RouteTable, WebState};
use renga_ports::RouteFeed;
use tokio::{net::TcpStream, task::JoinSet};

use crate::rig::{Backend, Peer, Rig, app, dyno};

const CLIENTS: usize = 8;
const ROUNDS: u32 = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_when_every_dyno_is_replaced_again_and_again() {
    let rig = Rig::start().await;
    let publish = async |number: u32, backend: &Backend| {
        let app = app(WebState::Up, vec![dyno(number, backend.address)]);
        let table = RouteTable { generation: u64::from(number), apps: vec![app], ..RouteTable::default() };
        rig.feed.publish(&table).await.unwrap()
    };
    let mut current = Backend::mirror().await;
    publish(1, &current).await;
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(load(rig.addresses.http, stop.clone(), served.clone()));
    }
    for number in 2..ROUNDS {
        let next = Backend::mirror().await;
        let before = served.load(Ordering::SeqCst);
        let old = dyno(number - 1, current.address).id;
        let mut published = publish(number, &next).await;
        while published.in_flight.contains_key(&old) {
            published = publish(number, &next).await;
        }
        // Its listener and all its connections end at once.
        drop(std::mem::replace(&mut current, next));
        while served.load(Ordering::SeqCst) < before + 4 * CLIENTS {
            tokio::task::yield_now().await;
        }
    }
    stop.store(true, Ordering::SeqCst);
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
}

/// Requests that may be repeated and such that may not, by turns, on connections that are kept.
async fn load(address: std::net::SocketAddr, stop: Arc<AtomicBool>, served: Arc<AtomicUsize>) {
    let mut client = Peer::new(TcpStream::connect(address).await.unwrap());
    while !stop.load(Ordering::SeqCst) {
        client.send("GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await;
        let reply = client.reply().await;
        assert_eq!(reply.status, 200, "{reply:?}");
        client.send("POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 4\r\n\r\nbody").await;
        let reply = client.reply().await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert!(reply.body.ends_with("body"));
        served.fetch_add(1, Ordering::SeqCst);
    }
}
