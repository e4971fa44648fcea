//! What every handler can reach.

use std::{ops::Deref, sync::Arc};

use renga_engine::Engine;
use renga_wire::Site;

use crate::{git::GitHttp, kept::Kept, limiter::Limiter, links::Signer, login::Logins};

/// Cheap to clone.
#[derive(Clone)]
pub struct ApiState(Arc<Parts>);

pub struct Parts {
    pub engine: Engine,
    pub site: Site,
    pub(crate) git: Arc<dyn GitHttp>,
    pub(crate) signer: Signer,
    pub(crate) limiter: Limiter,
    pub(crate) kept: Kept,
    pub(crate) logins: Logins,
}

impl ApiState {
    /// `link_key` signs the URLs that are their own key; keep it over restarts, or links from before stop to work.
    pub fn new(engine: Engine, git: Arc<dyn GitHttp>, link_key: [u8; 32]) -> Self {
        let settings = &engine.settings;
        let site = Site {
            api_url: settings.api_url.clone(),
            git_url: format!("https://{}", settings.git_host),
            domain: settings.domain.clone(),
            router_tls_port: settings.router_tls_port,
            rendezvous: settings.rendezvous.clone(),
            region: settings.region.clone(),
        };
        let (limiter, kept, logins) = (Limiter::default(), Kept::default(), Logins::default());
        Self(Arc::new(Parts { engine, site, git, signer: Signer::new(link_key), limiter, kept, logins }))
    }
}

impl Deref for ApiState {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl std::fmt::Debug for ApiState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiState")
    }
}
