//! Submodules, fetched over real TLS from a second git server.

use std::{path::PathBuf, sync::Arc};

use renga_ports::{Git, GitError};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::world::{Client, World, accepted, unpacked};

/// A git server on `https://localhost:PORT` that serves the world's repository; and the file of its CA.
struct Elsewhere {
    world: World,
    port: u16,
    ca: PathBuf,
    _server: JoinSet<()>,
}

impl Elsewhere {
    async fn new() -> Self {
        let world = World::new().await;
        let certified = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let ca = world.directory.path().join("ca.pem");
        std::fs::write(&ca, certified.cert.pem()).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let face = world.face();
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, face) = (acceptor.clone(), face.clone());
                connections.spawn(async move {
                    // A client that does not like our certificate goes away.
                    if let Ok(stream) = acceptor.accept(stream).await {
                        face.connection(stream).await;
                    }
                });
            }
        });
        Self { world, port, ca, _server: server }
    }

    fn url(&self) -> String {
        format!("https://any:secret@localhost:{}/demo.git", self.port)
    }
}

/// Puts the commit into the tree as a submodule, without fetching it.
async fn link(client: &Client, path: &str, url: &str, commit: &str) -> String {
    let modules = format!("[submodule \"x\"]\n\tpath = {path}\n\turl = {url}\n");
    std::fs::write(client.path.join(".gitmodules"), modules).unwrap();
    client.ok(&["add", ".gitmodules"]).await;
    client.ok(&["update-index", "--add", "--cacheinfo", &format!("160000,{commit},{path}")]).await;
    client.ok(&["commit", "-q", "-m", "Link"]).await;
    client.head().await
}

#[tokio::test]
async fn a_submodule_is_part_of_the_source() {
    let elsewhere = Elsewhere::new().await;
    let library = elsewhere.world.client("library").await;
    let inner = library.commit("lib/inner.py", "x = 1\n", "Library").await;
    accepted(&elsewhere.world, library.git(&["push", "heroku", "main"])).await;

    let world = World::with(|config| {
        config.submodules_from_private_addresses = true;
        config.site_env = vec![("GIT_SSL_CAINFO".into(), elsewhere.ca.to_string_lossy().into_owned())];
    })
    .await;
    let client = world.client("client").await;
    let commit = link(&client, "vendor/library", &elsewhere.url(), &inner).await;
    accepted(&world, client.git(&["push", "heroku", "main"])).await;
    let target = world.directory.path().join("source.tar");
    world.store.archive(world.app, &commit, &target).await.unwrap();
    let files = unpacked(&target);
    assert_eq!(files["README"], b"hello\n");
    assert_eq!(files["vendor/library/lib/inner.py"], b"x = 1\n");
    assert!(files.contains_key(".gitmodules"));
    let left: Vec<_> = std::fs::read_dir(world.directory.path().join("git")).unwrap().flatten().collect();
    assert!(
        !left.iter().any(|entry| entry.file_name().to_string_lossy().starts_with("submodule")),
        "{left:?}"
    );
}

#[tokio::test]
async fn a_submodule_that_cannot_be_had_fails_with_a_reason_and_no_password() {
    let elsewhere = Elsewhere::new().await;
    let world = World::new().await;
    let client = world.client("client").await;
    let target = world.directory.path().join("source.tar");
    let cases = [
        (elsewhere.url(), "the host's address is not public"),
        ("http://any:secret@example.com/x.git".into(), "only https:// addresses can be fetched"),
        ("../relative.git".into(), "only https:// addresses can be fetched"),
        ("ext::sh -c date".into(), "only https:// addresses can be fetched"),
    ];
    for (url, reason) in cases {
        let commit = link(&client, "vendor/library", &url, &"c".repeat(40)).await;
        accepted(&world, client.git(&["push", "heroku", "main"])).await;
        let error = world.store.archive(world.app, &commit, &target).await.unwrap_err();
        let GitError::Command { stderr, .. } = &error else { panic!("{error}") };
        assert!(stderr.contains(reason) && stderr.contains("vendor/library"), "{stderr}");
        assert!(!stderr.contains("secret"), "{stderr}");
        assert!(!target.exists());
    }
}

#[tokio::test]
async fn a_link_without_an_address_is_left_out() {
    let world = World::new().await;
    let client = world.client("client").await;
    let entry = format!("160000,{},lost", "c".repeat(40));
    client.ok(&["update-index", "--add", "--cacheinfo", &entry]).await;
    client.ok(&["commit", "-q", "-m", "A repository inside"]).await;
    let commit = client.head().await;
    accepted(&world, client.git(&["push", "heroku", "main"])).await;
    let target = world.directory.path().join("source.tar");
    world.store.archive(world.app, &commit, &target).await.unwrap();
    assert_eq!(unpacked(&target).into_keys().collect::<Vec<_>>(), ["README"]);
}
