//! Git repositories: their sizes, and the removal of objects that nothing reaches any more.

use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use renga_model::{AppId, Refusal};

use crate::{Engine, error};

/// Collecting all repositories is heavy, and a second time soon after would free nothing.
const COLLECT_EVERY: SignedDuration = SignedDuration::from_hours(6);

pub(super) struct Repositories {
    pub(super) bytes: u64,
    apps: Vec<AppId>,
}

pub(super) async fn measure(engine: &Engine) -> Result<Repositories, Refusal> {
    let apps = engine.store.read(|read| read.app_list().map_err(error::store)).await?;
    let mut repositories = Repositories { bytes: 0, apps: Vec::with_capacity(apps.len()) };
    for app in apps {
        repositories.bytes += engine.git.repository_bytes(app.id).await.map_err(error::git)?;
        repositories.apps.push(app.id);
    }
    Ok(repositories)
}

/// When they were collected last, in this life of the process.
#[derive(Debug, Default)]
pub(super) struct Collected(Mutex<Option<Timestamp>>);

impl Collected {
    /// False if that was done not long ago.
    pub(super) async fn collect(
        &self,
        engine: &Engine,
        repositories: &Repositories,
    ) -> Result<bool, Refusal> {
        let now = engine.now();
        {
            let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if last.is_some_and(|last| now < last + COLLECT_EVERY) {
                return Ok(false);
            }
            *last = Some(now);
        }
        for app in &repositories.apps {
            // One that can't be collected must not keep the others from it, nor what comes after them.
            if let Err(failed) = engine.git.repository_collect(*app).await {
                tracing::warn!(app.id = %app, error = %failed, "could not collect a repository");
            }
        }
        Ok(!repositories.apps.is_empty())
    }
}
