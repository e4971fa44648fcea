//! `renga server`: API, git, engine, logs and rendezvous, as a user of its own.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use async_trait::async_trait;
use renga_acme::AcmeClient;
use renga_api::{ApiState, Rendezvous, RendezvousTimes, serve_rendezvous};
use renga_engine::{Engine, Gate, Hands, Settings};
use renga_git::GitStore;
use renga_logs::LogStore;
use renga_mail::SmtpMail;
use renga_model::{Secret, StackName};
use renga_node::NodeClient;
use renga_ports::{Acme, Mail, SystemClock};
use renga_router::{Issued, Issuer, UnixRouteFeed};
use renga_store::{MasterKey, Store};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    authority::{self, Authority},
    config::Config,
    endpoints::{Endpoints, reached_at},
    first_start,
    git_face::GitFace,
    layout::Layout,
    listen,
};

/// Everything that runs has this long to end after the order to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the router may take to say where it listens.
const ROUTER_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) async fn run(config: &Config) -> Result<()> {
    let stop = super::stop_signal()?;
    let tasks = TaskTracker::new();
    let layout = Layout::new(&config.data_dir);
    let store = Store::open(
        &layout.at("ledger/ledger.db"),
        MasterKey::load_or_create(&layout.at("secrets/master.key"))?,
    )?;
    let authority = Authority::load_or_create(&layout.secrets())?;
    std::fs::write(layout.public_ca(), authority.certificate_pem())
        .context("could not write the CA's certificate")?;
    first_start::account(&store, &layout.secrets(), config).await?;

    let doors = Doors::open(config).await?;
    let router = router_addresses(config, &layout).await?;
    let endpoints = endpoints(config, &layout, &doors, router)?;
    let settings = settings(config, &layout, &endpoints, router);
    let git = git_store(config, &layout, &tasks)?;
    let hands = Hands {
        runtime: Arc::new(NodeClient::new(layout.node_socket(), layout.dynos())),
        logs: Arc::new(log_store(&layout)?),
        git: Arc::new(git.clone()),
        routes: Arc::new(UnixRouteFeed::new(layout.router_control())),
        clock: Arc::new(SystemClock),
        mail: mail(config)?,
        acme: acme(config)?,
    };
    let engine = Engine::new(store, hands, settings);
    engine.tell_lost_sizes().await.context("could not read the apps' sizes")?;
    renga_engine::run(&engine, &tasks, &stop);

    let hooks = git.bind_hooks().context("could not open the socket of push hooks")?;
    let (gate, hook_git, hook_stop) = (Arc::new(Gate::new(engine.clone())), git.clone(), stop.clone());
    tasks.spawn(async move { hook_git.serve_hooks(hooks, gate, hook_stop).await });
    serve_certificates(
        &layout,
        Certificates { authority: authority.clone(), engine: engine.clone() },
        &tasks,
        &stop,
    )?;
    let faces = Faces { config, layout: &layout, authority: &authority, tasks: &tasks, stop: &stop };
    faces.serve(engine, git, doors)?;
    endpoints.write(&layout.endpoints())?;
    tracing::info!("server ready: API {}, git {}", endpoints.api, endpoints.api_tls);

    stop.cancelled().await;
    tracing::info!("stopping");
    std::fs::remove_file(layout.endpoints()).ok();
    tasks.close();
    if tokio::time::timeout(STOP_TIMEOUT, tasks.wait()).await.is_err() {
        tracing::warn!("some tasks did not end in time");
    }
    Ok(())
}

// === what it is made of ===

/// The listening sockets, bound before anything is announced.
struct Doors {
    api: TcpListener,
    api_tls: TcpListener,
    rendezvous: TcpListener,
}

impl Doors {
    async fn open(config: &Config) -> Result<Self> {
        Ok(Self {
            api: listen::bind(config.api, "API").await?,
            api_tls: listen::bind(config.api_tls, "API over TLS").await?,
            rendezvous: listen::bind(config.rendezvous, "rendezvous").await?,
        })
    }
}

/// Configured ports, or what the router says of ports that were left to it.
async fn router_addresses(config: &Config, layout: &Layout) -> Result<(SocketAddr, SocketAddr)> {
    if config.router.port() != 0 && config.router_tls.port() != 0 {
        return Ok((config.router, config.router_tls));
    }
    let said = async {
        loop {
            let text = tokio::fs::read_to_string(layout.router_addresses()).await.unwrap_or_default();
            if let Ok(Said { http, tls }) = serde_json::from_str(&text) {
                return (http, tls);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(ROUTER_TIMEOUT, said).await.context("the router does not say where it listens")
}

#[derive(serde::Deserialize)]
struct Said {
    http: SocketAddr,
    tls: SocketAddr,
}

fn endpoints(
    config: &Config,
    layout: &Layout,
    doors: &Doors,
    router: (SocketAddr, SocketAddr),
) -> Result<Endpoints> {
    let at = |address| reached_at(&config.public_host, address);
    Ok(Endpoints {
        api: format!("http://{}", at(doors.api.local_addr()?)),
        api_tls: format!("https://{}", at(doors.api_tls.local_addr()?)),
        router: format!("http://{}", at(router.0)),
        router_tls: format!("https://{}", at(router.1)),
        rendezvous: format!("rendezvous://{}", at(doors.rendezvous.local_addr()?)),
        domain: config.domain.clone(),
        ca: layout.public_ca().to_string_lossy().into_owned(),
        token_file: layout.secrets().join("token").to_string_lossy().into_owned(),
        pid: std::process::id(),
    })
}

fn settings(
    config: &Config,
    layout: &Layout,
    endpoints: &Endpoints,
    router: (SocketAddr, SocketAddr),
) -> Settings {
    let authority_of = |url: &str| url.split_once("://").map_or(url, |(_, rest)| rest).to_owned();
    let host: StackName = "host".parse().expect("a legal stack name");
    let stacks = config.stacks.iter().map(|(name, _)| name.clone()).chain([host]);
    Settings {
        domain: config.domain.clone(),
        router_http_port: router.0.port(),
        router_tls_port: router.1.port(),
        api_url: linked(config, endpoints).to_owned(),
        git_host: authority_of(&endpoints.api_tls),
        rendezvous: authority_of(&endpoints.rendezvous),
        region: "us".into(),
        default_stack: config.default_stack.clone(),
        stacks: stacks.collect(),
        exchange: layout.at("exchange"),
        site_build_env: config.build_env.clone(),
        sizes: config.sizes.clone(),
        tiers: config.tiers.clone(),
        memory: config.memory,
        disk: config.disk,
        dyno_disk_bytes: config.dyno_disk_bytes,
        build_disk_bytes: config.build_disk_bytes,
        build_memory_bytes: config.build_memory_bytes,
        build_timeout: config.build_timeout,
        boots_max: boots_max(),
        builds_max: config.builds_max,
        sleep_after: config.sleep_after,
        freeze_for: config.freeze_for,
        cycle_after: config.cycle_after,
        disk_budget_bytes: config.disk_budget_bytes,
        disk_floor_bytes: config.disk_floor_bytes,
        releases_kept: config.releases_kept,
        invitations: config.invitations,
    }
}

/// A boot is mostly work for a core, with some waiting for disks and other services.
fn boots_max() -> usize {
    const EACH_CORE: usize = 2;
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get).max(2) * EACH_CORE
}

/// Where links lead: the listener in the clear is for this machine, and a link may be all that it takes to read a log.
fn linked<'a>(config: &Config, endpoints: &'a Endpoints) -> &'a str {
    if config.public_host == "localhost" { &endpoints.api } else { &endpoints.api_tls }
}

fn mail(config: &Config) -> Result<Option<Arc<dyn Mail>>> {
    let Some(settings) = &config.mail else { return Ok(None) };
    let mail = SmtpMail::new(settings).context("could not set up mail")?;
    Ok(Some(Arc::new(mail)))
}

fn acme(config: &Config) -> Result<Option<Arc<dyn Acme>>> {
    let Some(settings) = &config.acme else { return Ok(None) };
    let acme = AcmeClient::new(settings.clone()).context("could not set up [acme]")?;
    Ok(Some(Arc::new(acme)))
}

fn log_store(layout: &Layout) -> Result<LogStore> {
    let logs = renga_logs::Config {
        root: layout.at("logs"),
        outputs: layout.at("outputs"),
        dynos: layout.dynos(),
        router: layout.router().join("log"),
        limits: renga_logs::Limits::default(),
    };
    LogStore::new(logs).context("could not open the log store")
}

fn git_store(config: &Config, layout: &Layout, tasks: &TaskTracker) -> Result<GitStore> {
    let ca = config
        .ca_bundle
        .iter()
        .map(|path| ("GIT_SSL_CAINFO".to_owned(), path.to_string_lossy().into_owned()));
    let site_env = config.build_env.iter().map(|(key, value)| (key.clone(), value.clone())).chain(ca);
    let git = renga_git::Config {
        root: layout.at("git"),
        hook_program: std::env::current_exe().context("could not find this program")?,
        hook_socket: layout.hook_socket(),
        site_env: site_env.collect(),
        submodules_from_private_addresses: false,
        disk_floor_bytes: config.disk_floor_bytes,
        limits: renga_git::Limits::default(),
        tasks: tasks.clone(),
    };
    GitStore::new(git).context("could not open the git repositories")
}

/// The certificate socket: the router's group may connect.
fn serve_certificates(
    layout: &Layout,
    certificates: Certificates,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = layout.certificates_socket();
    std::fs::remove_file(&path).ok();
    let listener =
        UnixListener::bind(&path).with_context(|| format!("could not listen on {}", path.display()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o660))?;
    tasks.spawn(renga_router::serve_certificates(listener, Arc::new(certificates), stop.clone()));
    Ok(())
}

/// What was uploaded or fetched for a name; else it signs whatever name a client asks for: the authority is trusted only by those
/// who took it in for this platform.
struct Certificates {
    authority: Authority,
    engine: Engine,
}

#[async_trait]
impl Issuer for Certificates {
    async fn issue(&self, name: &str) -> Result<Issued, String> {
        let uploaded = self.engine.certificate_of(name).await.map_err(|refusal| refusal.to_string())?;
        if let Some((chain_pem, key_pem)) = uploaded {
            return Ok(Issued { chain_pem, key_pem });
        }
        let (chain_pem, key_pem) = self.authority.issue(&[name.to_owned()]).map_err(|e| format!("{e:#}"))?;
        Ok(Issued { chain_pem, key_pem: Secret::new(key_pem) })
    }
}

/// API, git and rendezvous on their listeners.
struct Faces<'a> {
    config: &'a Config,
    layout: &'a Layout,
    authority: &'a Authority,
    tasks: &'a TaskTracker,
    stop: &'a CancellationToken,
}

impl Faces<'_> {
    fn serve(&self, engine: Engine, git: GitStore, doors: Doors) -> Result<()> {
        let tls = Arc::new(self.authority.server_config(&self.names())?);
        let link_key = authority::load_or_create_key(&self.layout.secrets().join("links.key"))?;
        let rendezvous = Rendezvous {
            engine: engine.clone(),
            acceptor: tls.clone().into(),
            times: RendezvousTimes::default(),
            tasks: self.tasks.clone(),
            cancel: self.stop.clone(),
        };
        let app = renga_api::router(ApiState::new(engine, Arc::new(GitFace(git)), link_key));
        let (tasks, stop) = (self.tasks.clone(), self.stop.clone());
        self.tasks.spawn(listen::serve(doors.api, None, app.clone(), tasks.clone(), stop.clone()));
        self.tasks.spawn(listen::serve(doors.api_tls, Some(tls), app, tasks, stop));
        self.tasks.spawn(serve_rendezvous(doors.rendezvous, rendezvous));
        Ok(())
    }

    /// What the API's certificate must stand for.
    fn names(&self) -> Vec<String> {
        let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        if !names.contains(&self.config.public_host) {
            names.push(self.config.public_host.clone());
        }
        if self.config.heroku_names {
            names.extend(renga_cli::HEROKU_HOSTS.map(str::to_owned));
        }
        names
    }
}
