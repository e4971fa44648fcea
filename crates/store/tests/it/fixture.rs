//! A ledger in a temporary folder, and one of each noun.

use std::{collections::BTreeMap, path::PathBuf};

use jiff::Timestamp;
use renga_model::{
    Account, AccountId, App, AppId, Build, BuildId, BuildSource, BuildStatus, CertificateFacts, ConfigVars,
    Domain, DomainId, Dyno, DynoId, DynoState, Formation, FormationId, LayerDigest, OciImage, OciImageId,
    Release, ReleaseId, ReleaseStatus, Secret, Slug, SlugId, SlugLayer, SlugUpload, SniEndpoint,
    SniEndpointId, Worker,
};
use renga_store::{MasterKey, Store};

pub(crate) struct Ledger {
    pub(crate) store: Store,
    pub(crate) folder: tempfile::TempDir,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { store: Store::open(&folder.path().join("ledger.db"), key()).unwrap(), folder }
    }
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("ledger.db")
    }
    /// With an account and an app of its own.
    pub(crate) async fn with_app() -> (Self, App) {
        let ledger = Self::new();
        let (owner, app) = (account("ada@example.com"), AppId::random());
        let app = App { id: app, ..app_of(owner.id, "shop") };
        let inserted = app.clone();
        ledger
            .store
            .write(move |tx| {
                tx.account_insert(&owner, None)?;
                tx.app_insert(&inserted)
            })
            .await
            .unwrap();
        (ledger, app)
    }
}

pub(crate) fn key() -> MasterKey {
    MasterKey::from_bytes([1; 32])
}

/// Second `s` of 2026, with microseconds.
pub(crate) fn at(s: i64) -> Timestamp {
    Timestamp::from_microsecond(1_767_225_600_000_000 + s * 1_000_000 + 123_456).unwrap()
}

pub(crate) fn account(email: &str) -> Account {
    let account = Account::new(AccountId::random(), email.into(), at(0));
    Account { name: Some("Ada".into()), updated_at: at(1), ..account }
}

pub(crate) fn app_of(owner: AccountId, name: &str) -> App {
    App {
        id: AppId::random(),
        name: name.parse().unwrap(),
        owner,
        stack: "heroku-24".parse().unwrap(),
        build_stack: "host".parse().unwrap(),
        maintenance: false,
        acm: false,
        locked: false,
        deleted: false,
        buildpacks: vec![],
        buildpack_provided_description: None,
        detected_buildpack: None,
        repo_bytes: None,
        slug_bytes: None,
        created_at: at(0),
        updated_at: at(0),
        released_at: None,
        features_on: vec![],
        features_off: vec![],
    }
}

pub(crate) fn config(pairs: &[(&str, &str)]) -> ConfigVars {
    pairs.iter().map(|(key, value)| (key.parse().unwrap(), Secret::new(*value))).collect()
}

pub(crate) fn release(app: &App, version: u64) -> Release {
    Release {
        id: ReleaseId::random(),
        app: app.id,
        version,
        status: ReleaseStatus::Succeeded,
        description: format!("Set v{version}"),
        user: app.owner,
        slug: None,
        config: config(&[("DATABASE_URL", "postgres://u:hunter2@db/x")]),
        attachments: vec!["a1".into()],
        command_dyno: None,
        current: false,
        created_at: at(10),
        updated_at: at(10),
    }
}

/// A layer whose digest is 64 times the digit.
pub(crate) fn layer(digit: char, key: Option<&str>) -> SlugLayer {
    let digest: LayerDigest = digit.to_string().repeat(64).parse().unwrap();
    SlugLayer { digest, key: key.map(Into::into), bytes: 4096 }
}

pub(crate) fn slug(app: &App, layers: Vec<SlugLayer>) -> Slug {
    Slug {
        id: SlugId::random(),
        app: app.id,
        stack: app.stack.clone(),
        layers,
        process_types: BTreeMap::from([("web".parse().unwrap(), "serve --port $PORT".into())]),
        commit: Some("c".repeat(40)),
        commit_description: Some("Serve".into()),
        buildpack_provided_description: Some("Python".into()),
        checksum: None,
        bytes: 8192,
        created_at: at(5),
    }
}

pub(crate) fn slug_upload(app: &App) -> SlugUpload {
    SlugUpload {
        id: SlugId::random(),
        app: app.id,
        stack: app.stack.clone(),
        process_types: BTreeMap::from([("web".parse().unwrap(), "./serve".into())]),
        checksum: Some("SHA256:ab".into()),
        commit: Some("c0ffee".into()),
        commit_description: None,
        buildpack_provided_description: Some("Go".into()),
        created_at: at(3),
    }
}

pub(crate) fn oci_image(app: &App) -> OciImage {
    let digest = "sha256:ab".into();
    OciImage { id: OciImageId::random(), app: app.id, digest, facts: "{}".into(), created_at: at(3) }
}

pub(crate) fn build(app: &App) -> Build {
    Build {
        id: BuildId::random(),
        app: app.id,
        user: app.owner,
        status: BuildStatus::Pending,
        source: BuildSource::Git { commit: "c".repeat(40), branch: "main".into(), previous: None },
        stack: app.stack.clone(),
        buildpacks: vec![],
        dyno: DynoId::random(),
        slug: None,
        release: None,
        cancelled: false,
        failure: None,
        created_at: at(3),
        updated_at: at(3),
    }
}

pub(crate) fn dyno(app: &App, name: &str) -> Dyno {
    Dyno {
        id: DynoId::random(),
        app: app.id,
        name: name.parse().unwrap(),
        worker: Worker::Formation,
        release: None,
        release_version: None,
        size: "Basic".into(),
        command: "serve".into(),
        state: DynoState::Planned,
        generation: 0,
        epoch: 2,
        address: None,
        exit: None,
        created_at: at(20),
        updated_at: at(20),
    }
}

pub(crate) fn formation(app: &App, process_type: &str, quantity: u32) -> Formation {
    Formation {
        id: FormationId::random(),
        app: app.id,
        process_type: process_type.parse().unwrap(),
        quantity,
        size: "Basic".into(),
        epoch: 1,
        created_at: at(7),
        updated_at: at(7),
    }
}

pub(crate) fn sni_endpoint(app: &App) -> SniEndpoint {
    SniEndpoint {
        id: SniEndpointId::random(),
        app: app.id,
        name: "calm-sea-10000".parse().unwrap(),
        chain_pem: "a chain".into(),
        acm: false,
        facts: CertificateFacts {
            names: vec!["www.example.com".into()],
            subject: "/CN=www.example.com".into(),
            issuer: "/CN=Somebody".into(),
            starts_at: at(1),
            expires_at: at(2),
            self_signed: false,
            ca_signed: false,
        },
        created_at: at(1),
        updated_at: at(1),
    }
}

pub(crate) fn domain(app: &App, hostname: &str, sni_endpoint: Option<SniEndpointId>) -> Domain {
    let hostname = hostname.parse().unwrap();
    Domain {
        id: DomainId::random(),
        app: app.id,
        hostname,
        sni_endpoint,
        created_at: at(1),
        updated_at: at(1),
    }
}
