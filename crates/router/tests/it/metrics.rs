//! What operators are told.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use renga_model::WebState;
use renga_router::{Busy, Limits, Status};
use tokio::net::TcpStream;

use crate::rig::{Backend, DEADLINE, Peer, Rig, app, config, dyno, patient_limits, refusing};

async fn with_metrics() -> Rig {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let mut config = config(&directory, patient_limits());
    config.metrics = Some("127.0.0.1:0".parse().unwrap());
    Rig::from(directory, config).await
}

/// The value of the line that begins so.
fn value(text: &str, line: &str) -> f64 {
    let found = text.lines().find_map(|each| each.strip_prefix(line)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("{line} is not in\n{text}")).parse().unwrap()
}

#[tokio::test]
async fn requests_are_counted_by_app_status_and_code() {
    let (mut rig, backend) = (with_metrics().await, Backend::mirror().await);
    let socket = rig.directory.path().join("control.sock");
    rig.serve(&[backend.address]).await;
    for _ in 0..3 {
        assert_eq!(rig.get("/").await.status, 200);
        rig.line().await;
    }
    rig.publish(app(WebState::Crashed, vec![])).await;
    assert_eq!(rig.get("/").await.status, 503);
    assert!(rig.line().await.contains(" code=H10 "));
    let status = renga_router::status_of(&socket).await.unwrap();
    assert_eq!((status.generation, status.apps, status.dynos, status.requests), (2, 1, 0, 4));
    assert_eq!((status.in_flight, status.held, status.log_lines_lost), (0, 0, 0));

    let address = status.metrics.expect("metrics are told");
    let mut peer = Peer::new(TcpStream::connect(address).await.unwrap());
    peer.send("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let reply = peer.reply().await;
    assert_eq!((reply.status, reply.header("content-type")[0].contains("version=0.0.4")), (200, true));
    for (line, expected) in [
        ("renga_router_requests_total{class=\"2xx\"}", 3.0),
        ("renga_router_requests_total{class=\"5xx\"}", 1.0),
        ("renga_router_errors_total{code=\"H10\"}", 1.0),
        ("renga_router_request_duration_seconds_bucket{le=\"+Inf\"}", 4.0),
        ("renga_router_request_duration_seconds_count", 4.0),
        ("renga_router_client_connections_total", 4.0),
        ("renga_router_app_requests_total{app=\"app\",class=\"2xx\"}", 3.0),
        ("renga_router_app_requests_total{app=\"app\",class=\"5xx\"}", 1.0),
        ("renga_router_app_requests_in_flight{app=\"app\"}", 0.0),
        ("renga_router_table_generation", 2.0),
    ] {
        assert_eq!(value(&reply.body, line), expected, "{line}");
    }
    assert!(value(&reply.body, "renga_router_app_response_bytes_total{app=\"app\"}") > 0.0);
    assert_eq!(
        value(
            &renga_router::metrics_of(&socket).await.unwrap(),
            "renga_router_request_duration_seconds_count"
        ),
        4.0
    );
    for other in ["GET / HTTP/1.1\r\n\r\n", "POST /metrics HTTP/1.1\r\n\r\n"] {
        let mut peer = Peer::new(TcpStream::connect(address).await.unwrap());
        peer.send(other).await;
        assert_eq!(peer.reply().await.status, 404);
    }
    rig.stop().await;
    assert!(TcpStream::connect(address).await.is_err());
}

/// Apps beyond the first fifty are one, so that what is told stays bounded.
#[tokio::test]
async fn many_apps_are_told_of_as_one() {
    let (rig, backend) = (Rig::start().await, Backend::mirror().await);
    let row = |n: u32| renga_model::RouteApp {
        id: renga_model::AppId::random(),
        name: format!("app-{n:03}").parse().unwrap(),
        hosts: vec![format!("app-{n:03}.localhost")],
        ..app(WebState::Blank, vec![])
    };
    let apps = (0..120).map(row).collect();
    let table = renga_model::RouteTable { generation: 1, apps, ..renga_model::RouteTable::default() };
    renga_ports::RouteFeed::publish(&rig.feed, &table).await.unwrap();
    drop(backend);
    for n in [7, 7, 7, 100, 100] {
        let request = format!("GET / HTTP/1.1\r\nHost: app-{n:03}.localhost\r\nConnection: close\r\n\r\n");
        assert_eq!(rig.ask(&request).await.status, 502);
    }
    let text = renga_router::metrics_of(&rig.directory.path().join("control.sock")).await.unwrap();
    let told = text.lines().filter(|line| line.starts_with("renga_router_app_requests_in_flight{"));
    assert_eq!(told.count(), 51);
    assert_eq!(value(&text, "renga_router_app_requests_total{app=\"app-007\",class=\"5xx\"}"), 3.0);
    assert_eq!(value(&text, "renga_router_app_requests_total{app=\"app-100\",class=\"5xx\"}"), 2.0);
    assert_eq!(value(&text, "renga_router_app_requests_total{app=\"_other\",class=\"5xx\"}"), 0.0);
    assert!(text.len() < 64 * 1024, "{} bytes", text.len());
}

/// The router's status once it is as it should be, or the last one within the deadline.
async fn settled(rig: &Rig, is_so: impl Fn(&Status) -> bool) -> Status {
    let (socket, end) = (rig.directory.path().join("control.sock"), Instant::now() + DEADLINE);
    loop {
        let status = renga_router::status_of(&socket).await.unwrap();
        if is_so(&status) || Instant::now() > end {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn an_operator_sees_what_is_under_way_and_who_does_not_accept() {
    let limits = Limits { quarantine: DEADLINE * 6, ..patient_limits() };
    let (mut rig, backend) = (Rig::with(limits).await, Backend::says_and_waits("").await);
    let (_port, closed) = refusing();
    rig.publish(app(WebState::Up, vec![dyno(1, closed)])).await;
    assert_eq!(rig.get("/").await.status, 503);
    rig.line().await;
    rig.publish(app(WebState::Up, vec![dyno(1, closed), dyno(2, backend.address)])).await;
    let mut busy = rig.client().await;
    busy.send("GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n").await;
    let seen = settled(&rig, |status| status.in_flight == 1 && status.clients == 1).await;
    assert_eq!((seen.apps, seen.dynos, seen.clients, seen.in_flight, seen.requests), (1, 2, 1, 1, 1));
    assert_eq!(seen.busiest, [Busy { app: "app".into(), in_flight: 1 }]);
    assert_eq!((seen.dynos_quarantined, seen.quarantined), (1, vec!["app web.1".to_owned()]));
    drop(busy);
    rig.line().await;
    let seen = settled(&rig, |status| status.in_flight == 0 && status.clients == 0).await;
    assert_eq!((seen.clients, seen.in_flight, seen.requests, seen.busiest), (0, 0, 2, vec![]));
    let told = renga_router::metrics_of(&rig.directory.path().join("control.sock")).await.unwrap();
    assert_eq!(value(&told, "renga_router_dyno_connections_total{result=\"failed\"}"), 1.0);
    assert_eq!(value(&told, "renga_router_dyno_connections_total{result=\"ok\"}"), 1.0);
    rig.stop().await;
}
