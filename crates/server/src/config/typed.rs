//! The configuration as typed: `renga.toml` and the flags that stand above it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{acme::TypedAcme, mail::TypedMail, routing::TypedRouting, sizes::Size, tiers::TypedTier};

/// Flags that every role takes.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct ConfigArgs {
    /// Where everything is kept [default: /var/lib/renga, or $RENGA_DATA_DIR]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The configuration file [default: /etc/renga/renga.toml if it is there, or $RENGA_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Apps are reached as NAME.DOMAIN [default: localhost]
    #[arg(long)]
    domain: Option<String>,
    /// API and git over HTTP [default: 127.0.0.1:4000]; port 0 picks a free one
    #[arg(long, value_name = "HOST:PORT")]
    api: Option<String>,
    /// API and git over HTTPS [default: 127.0.0.1:4443]
    #[arg(long, value_name = "HOST:PORT")]
    api_tls: Option<String>,
    /// The router [default: 127.0.0.1:8080]; each router port speaks HTTP and TLS
    #[arg(long, value_name = "HOST:PORT")]
    router: Option<String>,
    /// The router's port that links point to [default: 127.0.0.1:8443]
    #[arg(long, value_name = "HOST:PORT")]
    router_tls: Option<String>,
    /// Attached one-off dynos [default: 127.0.0.1:4001]
    #[arg(long, value_name = "HOST:PORT")]
    rendezvous: Option<String>,
    /// Name or address under which others reach this machine [default: localhost]
    #[arg(long, value_name = "HOST")]
    public_host: Option<String>,
    /// Answer for Heroku's own names as well (api.heroku.com, git.heroku.com, ...), for machines whose hosts file or DNS
    /// leads them here
    #[arg(long)]
    heroku_names: bool,
    /// The first account [default: admin@localhost]
    #[arg(long, value_name = "EMAIL")]
    admin_email: Option<String>,
    /// A file with the first account's password [default: one is generated]
    #[arg(long, value_name = "FILE")]
    admin_password_file: Option<PathBuf>,
    /// The stack of new apps [default: heroku-24]
    #[arg(long, value_name = "NAME")]
    stack: Option<String>,
    /// Run apps even where the kernel lacks user namespaces, seccomp or memory and process limits
    #[arg(long)]
    allow_weak_isolation: bool,
}

/// `renga.toml`. Unknown keys fail.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Typed {
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) domain: Option<String>,
    pub(crate) api: Option<String>,
    pub(crate) api_tls: Option<String>,
    pub(crate) router: Option<String>,
    pub(crate) router_tls: Option<String>,
    pub(crate) rendezvous: Option<String>,
    pub(crate) public_host: Option<String>,
    pub(crate) heroku_names: bool,
    pub(crate) admin_email: Option<String>,
    pub(crate) admin_password_file: Option<PathBuf>,
    pub(crate) stack: Option<String>,
    pub(crate) allow_weak_isolation: bool,
    /// Name to EROFS image.
    pub(crate) stacks: BTreeMap<String, PathBuf>,
    /// Name to what it allows.
    pub(crate) sizes: BTreeMap<String, Size>,
    /// Name to how much its accounts may have.
    pub(crate) tiers: BTreeMap<String, TypedTier>,
    pub(crate) memory: Memory,
    pub(crate) network: Network,
    pub(crate) routing: TypedRouting,
    pub(crate) site: Site,
    pub(crate) mail: Option<TypedMail>,
    pub(crate) acme: Option<TypedAcme>,
    pub(crate) accounts: Accounts,
    pub(crate) dynos: Dynos,
    pub(crate) builds: Builds,
    pub(crate) disk: Disk,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Memory {
    /// Kept for the platform, builds and the rest of the machine, in MiB.
    pub(crate) reserve_mib: Option<u64>,
    /// The quotas of all dynos may be so many times what remains.
    pub(crate) overcommit: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Network {
    /// Private ranges and host services that dynos may reach (`10.1.0.0/16`).
    pub(crate) allow: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Site {
    /// PEM file laid over the certificate bundle of every dyno.
    pub(crate) ca_bundle: Option<PathBuf>,
    /// IP addresses of resolvers; the machine's own otherwise.
    pub(crate) dns: Vec<String>,
    /// Extra environment of builds (proxies, mirrors).
    pub(crate) build_env: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Accounts {
    /// Who invites people that have no account by giving them something: anybody or operators.
    pub(crate) invitations: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Dynos {
    /// Writable layer of a dyno, in MiB.
    pub(crate) disk_mib: Option<u64>,
    /// An eco app without web traffic for this long sleeps; 0: never.
    pub(crate) sleep_after_seconds: Option<u64>,
    /// Its web dynos are frozen for so long, then stopped; 0: they are stopped at once.
    pub(crate) freeze_seconds: Option<u64>,
    /// A dyno is replaced after this long, and up to 15 % later; 0: never.
    pub(crate) cycle_after_seconds: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Builds {
    /// Builds at one time.
    pub(crate) max: Option<usize>,
    pub(crate) memory_mib: Option<u64>,
    /// A build that takes longer is stopped.
    pub(crate) timeout_seconds: Option<u64>,
    pub(crate) disk_mib: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Disk {
    /// Slugs and caches together, in MiB.
    pub(crate) budget_mib: Option<u64>,
    /// Builds and starts are refused when less than this is free, in MiB.
    pub(crate) floor_mib: Option<u64>,
    /// How fast one dyno may write its disk, in MiB per second; 0 is as fast as the machine can.
    pub(crate) write_mib_per_s: Option<u64>,
    /// The disks of all dynos may be so many times what is free.
    pub(crate) overcommit: Option<f64>,
    /// Releases per app whose slugs are kept whatever the budget says.
    pub(crate) releases_kept: Option<usize>,
}

impl Typed {
    pub(crate) fn from_file(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        toml::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// A flag wins over the file.
    pub(crate) fn overlay(&mut self, args: &ConfigArgs) {
        let put = |to: &mut Option<String>, from: &Option<String>| {
            if from.is_some() {
                to.clone_from(from);
            }
        };
        put(&mut self.domain, &args.domain);
        put(&mut self.api, &args.api);
        put(&mut self.api_tls, &args.api_tls);
        put(&mut self.router, &args.router);
        put(&mut self.router_tls, &args.router_tls);
        put(&mut self.rendezvous, &args.rendezvous);
        put(&mut self.public_host, &args.public_host);
        put(&mut self.admin_email, &args.admin_email);
        put(&mut self.stack, &args.stack);
        if args.data_dir.is_some() {
            self.data_dir.clone_from(&args.data_dir);
        }
        if args.admin_password_file.is_some() {
            self.admin_password_file.clone_from(&args.admin_password_file);
        }
        self.heroku_names |= args.heroku_names;
        self.allow_weak_isolation |= args.allow_weak_isolation;
    }
}
