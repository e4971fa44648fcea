//! TLS: told apart from HTTP by its first byte, certificates by name from the server.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer as Signer, KeyPair};
use renga_model::{Secret, WebState};
use renga_router::{Issued, Issuer, serve_certificates};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::net::{TcpStream, UnixListener};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

use crate::rig::{Backend, Peer, Rig, app, config, dyno, header, patient_limits};

/// A small authority, as the server would be.
pub(crate) struct Authority {
    signer: Signer<'static, KeyPair>,
    certificate: String,
    issued: AtomicUsize,
    refusing: AtomicBool,
}

impl Authority {
    pub(crate) fn new() -> Arc<Self> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().pem();
        let signer = Signer::new(params, key);
        Arc::new(Self { signer, certificate, issued: AtomicUsize::new(0), refusing: AtomicBool::new(false) })
    }
}

#[async_trait]
impl Issuer for Authority {
    async fn issue(&self, name: &str) -> Result<Issued, String> {
        if self.refusing.load(Ordering::SeqCst) {
            return Err("not now".into());
        }
        self.issued.fetch_add(1, Ordering::SeqCst);
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let leaf = params.signed_by(&key, &self.signer).unwrap();
        Ok(Issued { chain_pem: leaf.pem(), key_pem: Secret::new(key.serialize_pem()) })
    }
}

pub(crate) async fn rig(authority: &Arc<Authority>) -> (Rig, CancellationToken) {
    let rig = Rig::start().await;
    let listener = UnixListener::bind(rig.directory.path().join("certificates.sock")).unwrap();
    let shutdown = CancellationToken::new();
    tokio::spawn(serve_certificates(listener, authority.clone(), shutdown.clone()));
    (rig, shutdown)
}

async fn connect(
    authority: &Authority,
    address: std::net::SocketAddr,
    name: &str,
) -> std::io::Result<Peer<TlsStream<TcpStream>>> {
    Ok(Peer::new(connect_with(authority, address, name, &[]).await?))
}

/// With what the client says it can speak.
pub(crate) async fn connect_with(
    authority: &Authority,
    address: std::net::SocketAddr,
    name: &str,
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    connect_by(authority, address, name, protocols, rustls::DEFAULT_VERSIONS).await
}

async fn connect_by(
    authority: &Authority,
    address: std::net::SocketAddr,
    name: &str,
    protocols: &[&str],
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.certificate.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

const GET: &str = "GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n";

#[tokio::test]
async fn every_port_speaks_both() {
    let (authority, backend) = (Authority::new(), Backend::mirror().await);
    let (mut rig, _serving) = rig(&authority).await;
    rig.serve(&[backend.address]).await;
    for address in [rig.addresses.http, rig.addresses.tls] {
        let mut client = connect(&authority, address, "app.localhost").await.unwrap();
        client.send(GET).await;
        let reply = client.reply().await;
        let seen = |name| header(&reply.body, name).join("");
        assert_eq!((seen("x-forwarded-proto"), seen("x-forwarded-port")), ("https".into(), "443".into()));
        assert!(rig.line().await.ends_with(" protocol=http1.1 tls=true tls_version=tls1.3"));
        let mut plain = Peer::new(TcpStream::connect(address).await.unwrap());
        plain.send(GET).await;
        assert_eq!(plain.reply().await.status, 200);
        assert!(rig.line().await.ends_with(" tls=false tls_version=unknown"));
    }
    // One name, asked for once.
    assert_eq!(authority.issued.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn the_log_says_which_version() {
    let (authority, backend) = (Authority::new(), Backend::mirror().await);
    let (mut rig, _serving) = rig(&authority).await;
    rig.serve(&[backend.address]).await;
    for (version, word) in [(&rustls::version::TLS12, "tls1.2"), (&rustls::version::TLS13, "tls1.3")] {
        let address = rig.addresses.tls;
        let stream = connect_by(&authority, address, "app.localhost", &[], &[version]).await.unwrap();
        let mut client = Peer::new(stream);
        client.send(GET).await;
        assert_eq!(client.reply().await.status, 200);
        let line = rig.line().await;
        assert!(line.ends_with(&format!(" protocol=http1.1 tls=true tls_version={word}")), "{line}");
    }
}

#[tokio::test]
async fn names_get_their_own_certificate_and_strangers_the_domains() {
    let authority = Authority::new();
    let (rig, _serving) = rig(&authority).await;
    // No app yet, but a name that one could have: the page is worth a valid certificate.
    let mut client = connect(&authority, rig.addresses.tls, "some-app.localhost").await.unwrap();
    client.send("GET / HTTP/1.1\r\nHost: some-app.localhost\r\n\r\n").await;
    assert_eq!(client.reply().await.status, 404);
    assert!(connect(&authority, rig.addresses.tls, "localhost").await.is_ok());
    let Err(refused) = connect(&authority, rig.addresses.tls, "www.example.com").await else {
        panic!("a stranger's name got a certificate")
    };
    assert!(refused.to_string().contains("not valid for name"), "{refused}");
    // Without a name: the domain's.
    let Err(refused) = connect(&authority, rig.addresses.tls, "127.0.0.1").await else {
        panic!("an address got a certificate")
    };
    assert!(refused.to_string().contains("not valid for name"), "{refused}");
    assert_eq!(authority.issued.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn certificates_of_the_table_survive_a_restart_without_the_server() {
    let (authority, backend) = (Authority::new(), Backend::mirror().await);
    let (mut rig, serving) = rig(&authority).await;
    rig.serve(&[backend.address]).await;
    let mut client = connect(&authority, rig.addresses.tls, "app.localhost").await.unwrap();
    client.send(GET).await;
    assert_eq!(client.reply().await.status, 200);
    rig.line().await;
    drop(client);
    serving.cancel();
    let directory = rig.directory.clone();
    rig.stop().await;
    std::fs::remove_file(directory.path().join("certificates.sock")).unwrap();

    let again = Rig::from(directory.clone(), config(&directory, patient_limits())).await;
    let mut client = connect(&authority, again.addresses.tls, "app.localhost").await.unwrap();
    client.send(GET).await;
    assert_eq!(client.reply().await.status, 200);
    assert!(connect(&authority, again.addresses.tls, "other.localhost").await.is_err());
}

#[tokio::test]
async fn a_server_that_refuses_costs_the_handshake_only() {
    let authority = Authority::new();
    let (mut rig, _serving) = rig(&authority).await;
    let backend = Backend::mirror().await;
    rig.serve(&[backend.address]).await;
    authority.refusing.store(true, Ordering::SeqCst);
    assert!(connect(&authority, rig.addresses.tls, "app.localhost").await.is_err());
    authority.refusing.store(false, Ordering::SeqCst);
    assert!(connect(&authority, rig.addresses.tls, "app.localhost").await.is_ok());
    assert_eq!(rig.get("/").await.status, 200);
}

#[tokio::test]
async fn another_version_of_a_certificate_is_asked_for_with_the_next_table() {
    let (authority, backend) = (Authority::new(), Backend::mirror().await);
    let (mut rig, _serving) = rig(&authority).await;
    let version = |version: &str| {
        let mut app = app(WebState::Up, vec![dyno(1, backend.address)]);
        app.hosts.extend(["www.example.com".to_owned(), "*.example.org".to_owned()]);
        app.certificates = [("www.example.com".to_owned(), version.to_owned())].into();
        app
    };
    let issued = || authority.issued.load(Ordering::SeqCst);
    rig.publish(version("a")).await;
    for _ in 0..2 {
        connect(&authority, rig.addresses.tls, "www.example.com").await.unwrap();
    }
    assert_eq!(issued(), 1);
    rig.publish(version("b")).await;
    connect(&authority, rig.addresses.tls, "www.example.com").await.unwrap();
    assert_eq!(issued(), 2);
    // All names below a wildcard share one, and nothing deeper has any.
    for name in ["a.example.org", "b.example.org"] {
        connect(&authority, rig.addresses.tls, name).await.unwrap();
    }
    assert_eq!(issued(), 3);
    assert!(connect(&authority, rig.addresses.tls, "a.b.example.org").await.is_err());
}
