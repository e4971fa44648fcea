//! Config vars: every real change is one release.

use std::collections::BTreeMap;

use renga_model::{
    Account, App, AppId, ConfigKey, ConfigVars, Refusal, Release, ReleaseStatus, Secret, SlugId,
};
use renga_store::Read;

use super::release::{NewRelease, announce, release_create};
use crate::{Engine, words};

impl Engine {
    /// Those of the newest release, whether it stands already or not.
    pub async fn config_fetch(&self, app: AppId) -> Result<ConfigVars, Refusal> {
        let latest = self.store.read(move |read| read.release_latest(app).map_err(Refusal::from)).await?;
        Ok(latest.map(|release| release.config).unwrap_or_default())
    }

    /// `None` removes. The vars after the change; the release stands in the ledger before this returns.
    pub async fn config_patch(
        &self,
        app: &App,
        actor: &Account,
        changes: BTreeMap<ConfigKey, Option<Secret>>,
    ) -> Result<ConfigVars, Refusal> {
        let (app, user, now, settings) = (app.id, actor.id, self.now(), self.settings.clone());
        let patch = self.store.write(move |tx| -> Result<(ConfigVars, Option<Release>), Refusal> {
            let latest = tx.release_latest(app)?;
            let before = latest.as_ref().map(|release| release.config.clone()).unwrap_or_default();
            let after = before.changed(&changes)?;
            if after == before {
                return Ok((after, None));
            }
            let new = NewRelease {
                app,
                user,
                description: describe(&before, &after),
                slug: slug_in_force(tx, app, latest.as_ref())?,
                config: after.clone(),
                attachments: latest.map(|release| release.attachments).unwrap_or_default(),
            };
            Ok((after, Some(release_create(tx, &settings, new, now)?)))
        });
        let (vars, release) = patch.await?;
        if let Some(release) = release {
            announce(self, &release);
        }
        Ok(vars)
    }
}

/// The code that the next release carries on: the newest release's, unless that failed; then what runs.
fn slug_in_force(read: &Read<'_>, app: AppId, latest: Option<&Release>) -> Result<Option<SlugId>, Refusal> {
    match latest {
        Some(release) if release.status == ReleaseStatus::Failed => {
            Ok(read.release_current(app)?.and_then(|current| current.slug))
        }
        latest => Ok(latest.and_then(|release| release.slug)),
    }
}

/// `Set FOO, BAR config vars`, `Remove FOO config vars`: only what really changed.
fn describe(before: &ConfigVars, after: &ConfigVars) -> String {
    let set = after.iter().filter(|(key, value)| before.get(key.as_str()) != Some(*value));
    let set: Vec<&str> = set.map(|(key, _)| key.as_str()).collect();
    let removed = before.iter().filter(|(key, _)| after.get(key.as_str()).is_none());
    let removed: Vec<&str> = removed.map(|(key, _)| key.as_str()).collect();
    words::config_changed(&set, &removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(pairs: &[(&str, &str)]) -> ConfigVars {
        pairs.iter().map(|(key, value)| (key.parse().unwrap(), Secret::new(*value))).collect()
    }

    #[test]
    fn descriptions_name_what_changed() {
        let before = vars(&[("A", "1"), ("B", "2")]);
        assert_eq!(describe(&before, &vars(&[("A", "1"), ("B", "3"), ("C", "4")])), "Set B, C config vars");
        assert_eq!(describe(&before, &vars(&[("A", "1")])), "Remove B config vars");
        assert_eq!(describe(&before, &vars(&[("A", "9")])), "Set A, remove B config vars");
    }
}
