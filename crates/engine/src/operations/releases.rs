//! Releases as users see them: listed, made from a slug, rolled back to.

use std::collections::{BTreeMap, btree_map::Entry};

use renga_model::{
    Account, AccountId, App, AppId, Refusal, Release, ReleaseId, ReleaseStatus, SlugId, StackName,
};
use renga_store::{OrNone, Read};

use super::release::{NewRelease, announce, release_create};
use crate::{Engine, words};

/// A release with what is shown beside it.
#[derive(Debug, Clone)]
pub struct ReleaseView {
    pub release: Release,
    pub user: Account,
    pub eligible_for_rollback: bool,
}

impl Engine {
    /// By version; `after_version` continues behind it, in either direction.
    pub async fn release_list(
        &self,
        app: AppId,
        descending: bool,
        limit: usize,
        after_version: Option<u64>,
    ) -> Result<Vec<ReleaseView>, Refusal> {
        let stacks = self.settings.stacks.clone();
        let list = self.store.read(move |read| -> Result<_, Refusal> {
            let releases = read.release_list(app, descending, limit, after_version)?;
            views(read, releases, &stacks)
        });
        list.await
    }

    /// `identity` is a version (`12`, `v12`) or an id.
    pub async fn release_fetch(&self, app: AppId, identity: &str) -> Result<ReleaseView, Refusal> {
        let (identity, stacks) = (identity.to_owned(), self.settings.stacks.clone());
        let fetch = self.store.read(move |read| -> Result<_, Refusal> {
            let release = find(read, app, &identity)?;
            views(read, vec![release], &stacks)
        });
        fetch.await?.pop().ok_or_else(|| Refusal::not_found("release"))
    }

    pub async fn release_current(&self, app: AppId) -> Result<Option<Release>, Refusal> {
        self.store.read(move |read| read.release_current(app).map_err(Refusal::from)).await
    }

    /// The old slug and the old config vars under a new number; attachments stay as they are.
    pub async fn release_rollback(
        &self,
        app: &App,
        actor: &Account,
        identity: &str,
    ) -> Result<ReleaseView, Refusal> {
        let (app, user, identity) = (app.id, actor.id, identity.to_owned());
        let (now, settings) = (self.now(), self.settings.clone());
        let create = self.store.write(move |tx| -> Result<Release, Refusal> {
            let target = find(tx, app, &identity)?;
            if !eligible(tx, &target, &settings.stacks)? {
                let version = target.version;
                if target.status == ReleaseStatus::Expired {
                    return Err(Refusal::invalid(format!(
                        "Cannot roll back to v{version}: its slug was removed to free disk space. Push that commit again instead."
                    )));
                }
                return Err(Refusal::invalid(format!(
                    "Cannot roll back to v{version}: it is not eligible for rollback."
                )));
            }
            let attachments = tx.release_latest(app)?.map(|latest| latest.attachments).unwrap_or_default();
            let description = words::rollback(target.version);
            let new =
                NewRelease { app, user, description, slug: target.slug, config: target.config, attachments };
            release_create(tx, &settings, new, now)
        });
        self.released(create.await?).await
    }

    /// Deploys a slug that is there, or was brought. It may be another app's, if the actor may deploy that app.
    pub async fn release_slug(
        &self,
        app: &App,
        actor: &Account,
        slug: &str,
        description: Option<String>,
    ) -> Result<ReleaseView, Refusal> {
        let slug: SlugId = slug.parse().map_err(|_| Refusal::not_found("slug"))?;
        let row = self.slug_ready(actor, slug).await?;
        let (app, user, now, settings) = (app.id, actor.id, self.now(), self.settings.clone());
        let create = self.store.write(move |tx| -> Result<Release, Refusal> {
            if tx.slug_fetch(slug)?.layers.is_empty() {
                return Err(Refusal::invalid(
                    "That slug was removed to free disk space. Push its commit again.",
                ));
            }
            let latest = tx.release_latest(app)?;
            let (config, attachments) = latest.map(|r| (r.config, r.attachments)).unwrap_or_default();
            let name = row.commit.clone().unwrap_or_else(|| row.id.to_string());
            let description = description.unwrap_or_else(|| words::deploy(&name));
            let new = NewRelease { app, user, description, slug: Some(slug), config, attachments };
            release_create(tx, &settings, new, now)
        });
        self.released(create.await?).await
    }

    async fn released(&self, release: Release) -> Result<ReleaseView, Refusal> {
        announce(self, &release);
        self.release_fetch(release.app, &release.id.to_string()).await
    }
}

fn find(read: &Read<'_>, app: AppId, identity: &str) -> Result<Release, Refusal> {
    let not_found = || Refusal::not_found("release");
    let found = match identity.parse::<ReleaseId>() {
        Ok(id) => read.release_fetch(id).or_none()?.filter(|release| release.app == app),
        Err(_) => {
            let version = identity.strip_prefix('v').unwrap_or(identity);
            let version: u64 = version.parse().map_err(|_| not_found())?;
            // Versions are kept as signed numbers; none is beyond them.
            let version = i64::try_from(version).map_err(|_| not_found())?.unsigned_abs();
            read.release_find(app, version)?
        }
    };
    found.ok_or_else(not_found)
}

/// It stood once, it has code, and there is still a stack to run it on.
fn eligible(read: &Read<'_>, release: &Release, stacks: &[StackName]) -> Result<bool, Refusal> {
    let Some(slug) = release.slug.filter(|_| release.status == ReleaseStatus::Succeeded) else {
        return Ok(false);
    };
    Ok(read.slug_fetch(slug).or_none()?.is_some_and(|slug| stacks.contains(&slug.stack)))
}

/// Users and slugs repeat within a list: each is read once.
fn views(read: &Read<'_>, releases: Vec<Release>, stacks: &[StackName]) -> Result<Vec<ReleaseView>, Refusal> {
    let mut users: BTreeMap<AccountId, Account> = BTreeMap::new();
    let mut slugs: BTreeMap<SlugId, bool> = BTreeMap::new();
    let mut views = Vec::with_capacity(releases.len());
    for release in releases {
        let user = match users.entry(release.user) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(unknown) => unknown.insert(read.account_fetch(release.user)?).clone(),
        };
        let runnable = match release.slug {
            Some(slug) => match slugs.get(&slug) {
                Some(known) => *known,
                None => {
                    let found =
                        read.slug_fetch(slug).or_none()?.is_some_and(|slug| stacks.contains(&slug.stack));
                    slugs.insert(slug, found);
                    found
                }
            },
            None => false,
        };
        let eligible_for_rollback = runnable && release.status == ReleaseStatus::Succeeded;
        views.push(ReleaseView { release, user, eligible_for_rollback });
    }
    Ok(views)
}
