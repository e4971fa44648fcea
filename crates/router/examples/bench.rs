//! A router with one app, `app.localhost`, for load generators: `bench HTTP_ADDRESS DYNO_ADDRESS [THREADS]`.
//!
//! It does all that the real one does, a line per request included; its directory is a temporary one.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use renga_model::{AppId, DynoId, RouteApp, RouteDyno, RouteTable, WebState};
use renga_ports::{RouteFeed, SystemClock};
use renga_router::{Config, Limits, Listeners, Router, UnixRouteFeed};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut address = || arguments.next().ok_or("bench HTTP_ADDRESS DYNO_ADDRESS [THREADS]");
    let (http, dyno): (SocketAddr, SocketAddr) = (address()?.parse()?, address()?.parse()?);
    let threads = arguments.next().map_or(Ok(1), |count| count.parse())?;
    let directory = tempfile::tempdir()?;
    let config = Config {
        http,
        tls: "127.0.0.1:0".parse()?,
        directory: directory.path().to_owned(),
        certificates: directory.path().join("certificates.sock"),
        control_gid: None,
        domain: "localhost".into(),
        threads,
        drain_timeout: std::time::Duration::from_secs(1),
        clock: Arc::new(SystemClock),
        limits: Limits { in_flight_per_dyno: 10_000, ..Limits::default() },
    };
    let router = Router::start(config.clone(), Listeners::bind(&config)?).await?;
    UnixRouteFeed::new(directory.path().join("control.sock")).publish(&table(dyno)?).await?;
    tokio::signal::ctrl_c().await?;
    router.stop().await?;
    Ok(())
}

fn table(dyno: SocketAddr) -> Result<RouteTable, renga_model::InvalidName> {
    let dyno = RouteDyno { id: DynoId::random(), name: "web.1".parse()?, address: dyno };
    let app = RouteApp {
        id: AppId::random(),
        name: "app".parse()?,
        hosts: vec!["app.localhost".into()],
        certificates: BTreeMap::new(),
        maintenance: false,
        web: WebState::Up,
        dynos: vec![dyno],
        error_page_url: None,
        maintenance_page_url: None,
        flags: renga_model::RouteFlags::default(),
    };
    Ok(RouteTable { generation: 1, apps: vec![app] })
}
