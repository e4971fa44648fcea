//! A router for load generators: `bench HTTP_ADDRESS DYNO_ADDRESS [THREADS]`. The hosts are `app.localhost` and
//! `slow.localhost`, two apps with the same dyno; TLS is spoken on the same port, by certificates of its own making.
//!
//! It does all that the real one does, a line per request included; its directory is a temporary one.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use rcgen::{CertificateParams, KeyPair};
use renga_model::{AppId, DynoId, RouteApp, RouteDyno, RouteFlags, RouteTable, Secret, WebState};
use renga_ports::{RouteFeed, SystemClock};
use renga_router::{Config, Issued, Issuer, Limits, Listeners, Router, UnixRouteFeed, serve_certificates};
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

struct SelfSigned;

#[async_trait]
impl Issuer for SelfSigned {
    async fn issue(&self, name: &str) -> Result<Issued, String> {
        let make = || {
            let key = KeyPair::generate()?;
            let leaf = CertificateParams::new(vec![name.to_owned()])?.self_signed(&key)?;
            Ok(Issued { chain_pem: leaf.pem(), key_pem: Secret::new(key.serialize_pem()) })
        };
        make().map_err(|error: rcgen::Error| error.to_string())
    }
}

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
        proxy_protocol: Vec::new(),
        trusted_proxies: Vec::new(),
        metrics: None,
        threads,
        drain_timeout: std::time::Duration::from_secs(1),
        clock: Arc::new(SystemClock),
        limits: Limits { in_flight_per_dyno: 10_000, ..Limits::default() },
    };
    let certificates = UnixListener::bind(&config.certificates)?;
    let router = Router::start(config.clone(), Listeners::bind(&config)?).await?;
    UnixRouteFeed::new(directory.path().join("control.sock")).publish(&table(dyno)?).await?;
    let ended = CancellationToken::new();
    tokio::select! {
        () = serve_certificates(certificates, Arc::new(SelfSigned), ended) => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    router.stop().await?;
    Ok(())
}

fn table(dyno: SocketAddr) -> Result<RouteTable, renga_model::InvalidName> {
    let app = |name: &str| {
        let dyno = RouteDyno { id: DynoId::random(), name: "web.1".parse()?, address: dyno };
        Ok(RouteApp {
            id: AppId::random(),
            name: name.parse()?,
            hosts: vec![format!("{name}.localhost")],
            certificates: BTreeMap::new(),
            maintenance: false,
            web: WebState::Up,
            dynos: vec![dyno],
            error_page_url: None,
            maintenance_page_url: None,
            flags: RouteFlags::default(),
        })
    };
    Ok(RouteTable { generation: 1, apps: vec![app("app")?, app("slow")?], ..RouteTable::default() })
}
