//! The router's certificates: in memory, bounded, refreshed, shared by all threads. Looked at once per connection.

use std::{
    collections::HashMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::ProducesTickets,
};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::{Issued, disk::Disk, issue::ask};
use crate::{config::Config, table::lock};

/// Questions to the server at one time; further handshakes wait for their turn.
const QUESTIONS_MAX: usize = 8;
/// After a question that failed, that name is not asked for again so soon.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(crate) struct Certificates(Arc<Inner>);

struct Inner {
    socket: PathBuf,
    domain: String,
    disk: Disk,
    entries: Mutex<HashMap<String, Entry>>,
    entries_max: usize,
    refresh: Duration,
    timeout: Duration,
    questions: Semaphore,
    tickets: Arc<dyn ProducesTickets>,
    tasks: TaskTracker,
}

/// A certificate as it is served: to clients that may choose HTTP/2, and to those of apps that want none of it.
#[derive(Debug)]
pub(crate) struct Served {
    both: Arc<ServerConfig>,
    http1: Arc<ServerConfig>,
}

impl Served {
    pub(crate) fn config(&self, http2: bool) -> Arc<ServerConfig> {
        if http2 { self.both.clone() } else { self.http1.clone() }
    }
}

struct Entry {
    config: Arc<Served>,
    /// The version that the table named when it was asked for.
    version: Option<String>,
    used: Instant,
    /// When the server is asked for a newer one.
    due: Instant,
}

/// A certificate to look for.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    name: &'a str,
    /// Of one that somebody uploaded; the platform's own have none.
    version: Option<&'a str>,
    /// Whether it is written to disk.
    keep: bool,
}

impl Certificates {
    pub(crate) fn new(config: &Config) -> io::Result<Self> {
        let limits = &config.limits;
        let directory = config.directory.join("certificates");
        Ok(Self(Arc::new(Inner {
            socket: config.certificates.clone(),
            domain: config.domain.clone(),
            disk: Disk { directory, files_max: limits.certificates_max },
            entries: Mutex::default(),
            entries_max: limits.certificates_max,
            refresh: limits.certificate_refresh,
            timeout: limits.certificate_timeout,
            questions: Semaphore::new(QUESTIONS_MAX),
            tickets: rustls::crypto::ring::Ticketer::new().map_err(io::Error::other)?,
            tasks: TaskTracker::new(),
        })))
    }

    /// What to present to a client that named `name`. `known`: what the table says of it, see [`Table::certificate`].
    ///
    /// [`Table::certificate`]: crate::table::Table::certificate
    pub(crate) async fn find(
        &self,
        name: Option<&str>,
        known: Option<(&str, Option<&str>)>,
    ) -> Option<Arc<Served>> {
        let domain = &self.0.domain;
        let wanted = match (known, name) {
            (Some((name, version)), _) => Some(Wanted { name, version, keep: true }),
            // A name that an app could have.
            (None, Some(name)) if below(name, domain) => Some(Wanted { name, version: None, keep: false }),
            _ => None,
        };
        if let Some(wanted) = wanted
            && let Some(config) = self.obtain(wanted).await
        {
            return Some(config);
        }
        self.obtain(Wanted { name: domain, version: None, keep: true }).await
    }

    /// From memory at once; else from the server, else from the disk.
    async fn obtain(&self, wanted: Wanted<'_>) -> Option<Arc<Served>> {
        if let Some((config, due)) = self.remembered(wanted) {
            if due {
                self.refresh(wanted);
            }
            return Some(config);
        }
        let _turn = self.0.questions.acquire().await.ok()?;
        // Another handshake may have asked for it while this one waited.
        if let Some((config, _)) = self.remembered(wanted) {
            return Some(config);
        }
        self.learn(wanted).await
    }

    async fn learn(&self, wanted: Wanted<'_>) -> Option<Arc<Served>> {
        let name = wanted.name;
        let asked = tokio::time::timeout(self.0.timeout, ask(&self.0.socket, name)).await;
        let asked = asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let configured = asked.and_then(|issued| Ok((self.configure(&issued)?, issued)));
        match configured {
            Ok((config, issued)) => {
                if wanted.keep {
                    self.store(name.to_owned(), issued);
                }
                Some(self.remember(wanted, config, self.0.refresh))
            }
            Err(error) => {
                tracing::warn!(%error, host = name, "the server issued no certificate");
                let issued = self.0.disk.read(name)?;
                let config = self.configure(&issued).ok()?;
                Some(self.remember(wanted, config, RETRY_PAUSE))
            }
        }
    }

    fn refresh(&self, wanted: Wanted<'_>) {
        let (this, name, version) = (self.clone(), wanted.name.to_owned(), wanted.version.map(str::to_owned));
        let keep = wanted.keep;
        self.0.tasks.spawn(async move {
            let Ok(_turn) = this.0.questions.acquire().await else { return };
            this.learn(Wanted { name: &name, version: version.as_deref(), keep }).await;
        });
    }

    fn store(&self, name: String, issued: Issued) {
        let disk = self.0.disk.clone();
        self.0.tasks.spawn_blocking(move || {
            if let Err(error) = disk.write(&name, &issued) {
                tracing::warn!(%error, host = name, "could not keep a certificate on disk");
            }
        });
    }

    fn configure(&self, issued: &Issued) -> io::Result<Arc<Served>> {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(issued.chain_pem.as_bytes()).collect();
        let chain = chain.map_err(|error| invalid(error.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(issued.key_pem.expose().as_bytes())
            .map_err(|_| invalid("the key is not PEM".to_owned()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| invalid(error.to_string()))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.ticketer = self.0.tickets.clone();
        let http1 = Arc::new(config.clone());
        config.alpn_protocols.insert(0, b"h2".to_vec());
        Ok(Arc::new(Served { both: Arc::new(config), http1 }))
    }

    // === memory ===

    pub(crate) fn in_memory(&self) -> usize {
        lock(&self.0.entries).len()
    }

    /// The entry, and whether a newer one should be asked for (said to one caller only). One of another version than
    /// the table's is none.
    fn remembered(&self, wanted: Wanted<'_>) -> Option<(Arc<Served>, bool)> {
        let mut entries = lock(&self.0.entries);
        let entry =
            entries.get_mut(wanted.name).filter(|entry| entry.version.as_deref() == wanted.version)?;
        entry.used = Instant::now();
        let due = entry.due <= entry.used;
        if due {
            entry.due = entry.used + RETRY_PAUSE;
        }
        Some((entry.config.clone(), due))
    }

    fn remember(&self, wanted: Wanted<'_>, config: Arc<Served>, fresh: Duration) -> Arc<Served> {
        let name = wanted.name;
        let mut entries = lock(&self.0.entries);
        if entries.len() >= self.0.entries_max && !entries.contains_key(name) {
            let oldest = entries.iter().min_by_key(|(_, entry)| entry.used).map(|(name, _)| name.clone());
            oldest.and_then(|oldest| entries.remove(&oldest));
        }
        let used = Instant::now();
        let version = wanted.version.map(str::to_owned);
        entries.insert(name.to_owned(), Entry { config: config.clone(), version, used, due: used + fresh });
        config
    }
}

/// One label below the domain, as an app's name would be.
fn below(name: &str, domain: &str) -> bool {
    let label = name.strip_suffix(domain).and_then(|rest| rest.strip_suffix('.'));
    label.is_some_and(|label| label.parse::<renga_model::AppName>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_may_only_name_what_an_app_could_be_called() {
        assert!(below("an-app.localhost", "localhost"));
        for bad in ["localhost", "a.b.localhost", "x.example.com", "-.localhost", "evillocalhost"] {
            assert!(!below(bad, "localhost"), "{bad}");
        }
    }
}
