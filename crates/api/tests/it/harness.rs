//! A platform for one test: its own ledger, its own port, gone with the test.

use std::{collections::BTreeMap, io::Read, net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Method, StatusCode};
use renga_api::{ApiState, GitCaller, GitHttp};
use renga_engine::{
    Engine, Hands, Invitations, Settings,
    operations::{
        TokenNew,
        release::{NewRelease, release_create},
    },
};
use renga_model::{
    Account, AccountId, AppId, Fault, LayerDigest, Refusal, Secret, Slug, SlugId, SlugLayer, TokenScope,
};
use renga_ports::{Acme, Logs};
use renga_store::{MasterKey, Store};
use renga_testkit::{
    SimClock, SimGit, SimLogs, SimRoutes, SimRuntime,
    world::{Faults, World},
};
use serde_json::Value;

pub(crate) const PASSWORD: &str = "correct horse";
const ACCEPT: &str = "application/vnd.heroku+json; version=3";

pub(crate) struct Platform {
    pub(crate) url: String,
    pub(crate) token: String,
    pub(crate) account: Account,
    pub(crate) engine: Engine,
    pub(crate) logs: Arc<SimLogs>,
    pub(crate) runtime: Arc<SimRuntime>,
    pub(crate) git: Arc<SimGit>,
    pub(crate) clock: Arc<SimClock>,
    pub(crate) tokio: tokio::runtime::Runtime,
    pub(crate) folder: tempfile::TempDir,
    agent: ureq::Agent,
}

pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
    /// The body of a success.
    #[track_caller]
    pub(crate) fn good(self) -> Value {
        assert!(self.status.is_success(), "{} {}", self.status, self.text);
        self.json()
    }
    /// Status, id and message of a refusal.
    #[track_caller]
    pub(crate) fn refusal(&self) -> (u16, String, String) {
        let body = self.json();
        let text = |name: &str| body[name].as_str().unwrap_or_else(|| panic!("no {name}: {body}")).to_owned();
        (self.status.as_u16(), text("id"), text("message"))
    }
}

/// Somebody else than the holder of the platform's own token.
pub(crate) struct Person<'a> {
    platform: &'a Platform,
    pub(crate) account: Account,
    pub(crate) bearer: String,
}

impl Person<'_> {
    pub(crate) fn send(&self, method: Method, path: &str, body: Option<Value>) -> Reply {
        let body = body.map(|body| body.to_string());
        let headers = [("authorization", self.bearer.as_str())];
        self.platform.send(method, path, &headers, body.as_deref().map(str::as_bytes))
    }
    pub(crate) fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, None)
    }
    pub(crate) fn post(&self, path: &str, body: Value) -> Reply {
        self.send(Method::POST, path, Some(body))
    }
    pub(crate) fn patch(&self, path: &str, body: Value) -> Reply {
        self.send(Method::PATCH, path, Some(body))
    }
    pub(crate) fn put(&self, path: &str, body: Value) -> Reply {
        self.send(Method::PUT, path, Some(body))
    }
    pub(crate) fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, None)
    }
}

/// An account whose tier allows one dyno.
pub(crate) const FREE: &str = "free@example.com";

/// Says what it was asked.
struct EchoGit;

#[async_trait]
impl GitHttp for EchoGit {
    async fn call(&self, caller: GitCaller, request: Request) -> Response {
        format!("{} {} {}", caller.name, request.method(), request.uri()).into_response()
    }
    fn refuse(&self, refusal: &Refusal) -> Response {
        let status = match refusal.fault {
            Fault::Unauthorized => StatusCode::UNAUTHORIZED,
            Fault::Forbidden => StatusCode::FORBIDDEN,
            _ => StatusCode::NOT_FOUND,
        };
        (status, refusal.say.clone()).into_response()
    }
}

impl Platform {
    pub(crate) fn start() -> Self {
        Self::start_with_rendezvous(4001)
    }

    /// With the port that attach URLs name.
    pub(crate) fn start_with_rendezvous(rendezvous: u16) -> Self {
        Self::start_as(rendezvous, Invitations::Anybody, true)
    }

    pub(crate) fn start_where_operators_invite() -> Self {
        Self::start_as(4001, Invitations::Operators, true)
    }

    /// Where nobody issues certificates.
    pub(crate) fn start_without_authority() -> Self {
        Self::start_as(4001, Invitations::Anybody, false)
    }

    fn start_as(rendezvous: u16, invitations: Invitations, authority: bool) -> Self {
        let tokio =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("ledger.db"), MasterKey::from_bytes([1; 32])).unwrap();
        let listener = tokio.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let url = format!("http://localhost:{}", address.port());
        let (runtime, logs, git) = <(Arc<SimRuntime>, Arc<SimLogs>, Arc<SimGit>)>::default();
        let clock = Arc::new(SimClock::default());
        let hands = Hands {
            runtime: runtime.clone(),
            logs: logs.clone(),
            git: git.clone(),
            routes: Arc::new(SimRoutes::default()),
            clock: clock.clone(),
            mail: None,
            // No loop runs here: what is asked of it stays a row.
            acme: authority.then(|| World::default().hands(&Faults::none()).acme as Arc<dyn Acme>),
        };
        let settings = Settings { invitations, ..settings(&url, address, rendezvous, folder.path()) };
        let engine = Engine::new(store, hands, settings);
        let account =
            tokio.block_on(engine.account_create("dev@example.com".into(), Secret::new(PASSWORD))).unwrap();
        let router = renga_api::router(ApiState::new(engine.clone(), Arc::new(EchoGit), [9; 32]));
        tokio.spawn(async move { axum::serve(listener, router).await.unwrap() });
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_redirects(0)
            .build()
            .new_agent();
        let mut platform = Self {
            url,
            token: String::new(),
            account,
            engine,
            logs,
            runtime,
            git,
            clock,
            tokio,
            folder,
            agent,
        };
        platform.token = platform.token_with(&platform.account.clone(), TokenScope::Global, None);
        platform
    }

    pub(crate) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.tokio.block_on(work)
    }

    /// The log of an app, with what is on its way into it: no loop runs here.
    pub(crate) async fn log(&self, app: AppId) -> Vec<String> {
        let said = self.engine.store.read(|read| read.outbox_after(0, 10_000)).await;
        self.logs.tell(said.unwrap()).await.unwrap();
        self.logs.lines(app)
    }

    pub(crate) fn token_with(&self, account: &Account, scope: TokenScope, life_s: Option<u64>) -> String {
        let life = life_s.map(std::time::Duration::from_secs);
        let new = TokenNew { description: "test".into(), scopes: vec![scope], life };
        self.run(self.engine.token_create(account.id, new)).unwrap().1.expose().to_owned()
    }

    pub(crate) fn stranger(&self) -> Account {
        self.account("stranger@example.com")
    }

    pub(crate) fn account(&self, email: &str) -> Account {
        self.run(self.engine.account_create(email.into(), Secret::new(PASSWORD))).unwrap()
    }

    /// Another account, and a way to ask in its name.
    pub(crate) fn person(&self, email: &str) -> Person<'_> {
        let account = self.account(email);
        let bearer = format!("Bearer {}", self.token_with(&account, TokenScope::Global, None));
        Person { platform: self, account, bearer }
    }

    /// From here on, requests come from an account of the tier `free`.
    pub(crate) fn become_free(&mut self) {
        let account = self.run(self.engine.account_create(FREE.into(), Secret::new(PASSWORD))).unwrap();
        self.token = self.token_with(&account, TokenScope::Global, None);
        self.account = account;
    }

    /// From here on, requests come from `op@example.com`, who is an operator.
    pub(crate) fn become_operator(&mut self) {
        let new = Account::new(AccountId::random(), "op@example.com".into(), self.engine.now());
        let account = Account { operator: true, ..new };
        let row = account.clone();
        let insert = self.engine.store.write(move |tx| tx.account_insert(&row, None).map_err(Refusal::from));
        self.run(insert).unwrap();
        self.token = self.token_with(&account, TokenScope::Global, None);
        self.account = account;
    }

    // === requests ===

    /// As the holder of the global token; `headers` come on top, an empty value takes one away.
    pub(crate) fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Reply {
        let mut response = self.open(method, path, headers, body);
        let mut text = Vec::new();
        response.body_mut().as_reader().read_to_end(&mut text).unwrap();
        Reply {
            status: response.status(),
            headers: response.headers().clone(),
            text: String::from_utf8(text).unwrap(),
        }
    }

    /// As [`Platform::send`], with the body still to be read.
    pub(crate) fn open(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> http::Response<ureq::Body> {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.url) };
        let bearer = format!("Bearer {}", self.token);
        let mut all = BTreeMap::from([("accept", ACCEPT), ("authorization", bearer.as_str())]);
        all.extend(headers.iter().copied());
        let mut request = http::Request::builder().method(method).uri(url);
        for (name, value) in all.into_iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(name, value);
        }
        match body {
            Some(body) => self.agent.run(request.body(body).unwrap()).unwrap(),
            None => self.agent.run(request.body(()).unwrap()).unwrap(),
        }
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &[], None)
    }
    pub(crate) fn post(&self, path: &str, body: Value) -> Reply {
        self.send(Method::POST, path, &[], Some(body.to_string().as_bytes()))
    }
    pub(crate) fn patch(&self, path: &str, body: Value) -> Reply {
        self.send(Method::PATCH, path, &[], Some(body.to_string().as_bytes()))
    }
    pub(crate) fn put(&self, path: &str, body: Value) -> Reply {
        self.send(Method::PUT, path, &[], Some(body.to_string().as_bytes()))
    }
    pub(crate) fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, &[], None)
    }

    /// An app's id, made through the API.
    pub(crate) fn app(&self, name: &str) -> AppId {
        let app = self.post("/apps", serde_json::json!({ "name": name })).good();
        app["id"].as_str().unwrap().parse().unwrap()
    }

    /// What a build leaves: a slug with these process types, released.
    pub(crate) fn deploy(&self, app: AppId, types: &[(&str, &str)]) -> SlugId {
        let now = self.engine.now();
        let process_types =
            types.iter().map(|(kind, command)| (kind.parse().unwrap(), (*command).into())).collect();
        let digest: LayerDigest = "ab".repeat(32).parse().unwrap();
        let slug = Slug {
            id: SlugId::random(),
            app,
            stack: "heroku-24".parse().unwrap(),
            layers: vec![SlugLayer { digest, key: None, bytes: 4096 }],
            process_types,
            commit: Some("582fc95f".repeat(5)),
            commit_description: Some("First".into()),
            buildpack_provided_description: Some("Python".into()),
            checksum: None,
            bytes: 4096,
            created_at: now,
        };
        let (id, user, settings) = (slug.id, self.account.id, self.engine.settings.clone());
        let write = self.engine.store.write(move |tx| -> Result<(), Refusal> {
            tx.slug_insert(&slug)?;
            let latest = tx.release_latest(app)?;
            let config = latest.map(|release| release.config).unwrap_or_default();
            let new = NewRelease {
                app,
                user,
                description: "Deploy 582fc95f".into(),
                slug: Some(slug.id),
                config,
                attachments: Vec::new(),
            };
            release_create(tx, &settings, new, now)?;
            Ok(())
        });
        self.run(write).unwrap();
        id
    }
}

fn settings(url: &str, address: SocketAddr, rendezvous: u16, folder: &std::path::Path) -> Settings {
    Settings {
        domain: "localhost".into(),
        router_http_port: 8080,
        router_tls_port: 8443,
        api_url: url.to_owned(),
        git_host: format!("localhost:{}", address.port()),
        rendezvous: format!("localhost:{rendezvous}"),
        region: "us".into(),
        default_stack: "heroku-24".parse().unwrap(),
        stacks: vec!["heroku-24".parse().unwrap(), "host".parse().unwrap()],
        exchange: folder.to_owned(),
        site_build_env: BTreeMap::new(),
        sizes: renga_model::Sizes::heroku(),
        tiers: renga_model::Tiers::new(
            vec![(FREE.into(), renga_model::Tier { name: "free".into(), dynos_max: 1 })],
            None,
        ),
        memory: renga_engine::Overcommit { reserve_bytes: 0, overcommit_percent: 400 },
        disk: renga_engine::Overcommit { reserve_bytes: 0, overcommit_percent: 100 },
        dyno_disk_bytes: 1 << 30,
        build_disk_bytes: 1 << 30,
        build_memory_bytes: 1 << 30,
        build_timeout: renga_model::limits::BUILD_TIMEOUT,
        sleep_after: None,
        freeze_for: None,
        cycle_after: None,
        boots_max: 4,
        builds_max: 1,
        disk_budget_bytes: 1 << 30,
        disk_floor_bytes: 0,
        releases_kept: 10,
        invitations: Invitations::Anybody,
    }
}
