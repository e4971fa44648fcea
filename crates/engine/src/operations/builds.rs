//! Builds: begun by a push or by the API, carried on by their workflow.

use renga_model::{Account, AccountId, AppId, Build, BuildId, BuildSource, BuildStatus, DynoId, Refusal};
use renga_store::{OrNone, StoreError};

use super::{access::app_row, buildpacks};
use crate::{Engine, words};

/// Bytes of a source's URL, and of its version and description (ours).
const URL_BYTES_MAX: usize = 8 * 1024;
const VERSION_BYTES_MAX: usize = 255;
/// Builds that a list shows.
const LIST_MAX: usize = 1_000;

/// Inserts a build and wakes its workflow. `buildpacks` stands for this build only; empty means the app's own list.
/// One build of an app at a time: a second one is a conflict.
pub async fn create(
    engine: &Engine,
    app: AppId,
    user: AccountId,
    source: BuildSource,
    buildpacks: Vec<String>,
) -> Result<Build, Refusal> {
    check_source(&source)?;
    begin(engine, app, user, source, buildpacks).await
}

/// As [`create`]; of what only unpacks a slug the app's log says nothing.
pub(super) async fn begin(
    engine: &Engine,
    app: AppId,
    user: AccountId,
    source: BuildSource,
    buildpacks: Vec<String>,
) -> Result<Build, Refusal> {
    engine.check_room().await?;
    let chosen = buildpacks.iter().map(|text| buildpacks::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let now = engine.now();
    let insert = engine.store.write(move |tx| -> Result<Build, Refusal> {
        let row = app_row(tx, app)?;
        let stack = match source.slug() {
            Some(slug) => tx.slug_upload_fetch(slug)?.stack,
            None => row.build_stack,
        };
        let list = if chosen.is_empty() { row.buildpacks } else { chosen };
        let build = Build {
            id: BuildId::random(),
            app,
            user,
            status: BuildStatus::Pending,
            source,
            stack,
            buildpacks: list.into_iter().map(|buildpack| buildpack.0).collect(),
            dyno: DynoId::random(),
            slug: None,
            release: None,
            cancelled: false,
            failure: None,
            created_at: now,
            updated_at: now,
        };
        tx.build_insert(&build).map_err(|error| match error {
            StoreError::Conflict { what: "unfinished build" } => Refusal::conflict(
                "Another build of this app is in progress. Wait for it to end, then try again.",
            ),
            other => other.into(),
        })?;
        if build.source.slug().is_none() {
            let account = tx.account_fetch(user)?;
            tx.say(app, &words::api(now, words::build_started(&account.email)))?;
        }
        Ok(build)
    });
    let build = insert.await?;
    // Step 0 makes the output, so that readers may come before the build's first word.
    engine.logs.output_append(&build.id.to_string(), 0, "").await.map_err(crate::error::logs)?;
    engine.wake.builds(build.id);
    Ok(build)
}

/// The name of a build's output in the log port.
pub fn output(build: BuildId) -> String {
    build.to_string()
}

impl Engine {
    /// Newest first. What only unpacks a slug is nobody's build.
    pub async fn build_list(&self, app: AppId) -> Result<Vec<(Build, Account)>, Refusal> {
        let list = self.store.read(move |read| -> Result<_, Refusal> {
            let builds = read.build_list(app, LIST_MAX)?;
            let shown = builds.into_iter().filter(|build| build.source.slug().is_none());
            shown.map(|build| Ok((build.clone(), read.account_fetch(build.user)?))).collect()
        });
        list.await
    }

    pub async fn build_fetch(&self, app: AppId, build: &str) -> Result<(Build, Account), Refusal> {
        let not_found = || Refusal::not_found("build");
        let build: BuildId = build.parse().map_err(|_| not_found())?;
        let fetch = self.store.read(move |read| -> Result<_, Refusal> {
            let Some(build) = read.build_fetch(build).or_none()? else { return Ok(None) };
            let user = read.account_fetch(build.user)?;
            Ok(Some((build, user)))
        });
        let shown = |(build, _): &(Build, Account)| build.app == app && build.source.slug().is_none();
        fetch.await?.filter(shown).ok_or_else(not_found)
    }

    /// Ends a build that is under way. Once its release is made it is too late: that can be rolled back.
    pub async fn build_cancel(
        &self,
        app: AppId,
        actor: &Account,
        build: &str,
    ) -> Result<(Build, Account), Refusal> {
        let (found, _) = self.build_fetch(app, build).await?;
        let (id, now) = (found.id, self.now());
        let line = words::api(now, words::build_cancelled(&actor.email));
        let cancel = self.store.write(move |tx| -> Result<bool, Refusal> {
            let cancelled = tx.build_cancel(id, now)?;
            if cancelled {
                tx.say(app, &line)?;
            }
            Ok(cancelled)
        });
        if !cancel.await? {
            return Err(Refusal::invalid(
                "Only a build that is pending can be cancelled; this one has ended.",
            ));
        }
        self.wake.builds(id);
        self.build_fetch(app, build).await
    }

    /// Forgets what the builds of an app have kept for the next one.
    pub async fn build_cache_delete(&self, app: AppId) -> Result<(), Refusal> {
        self.store.write(move |tx| tx.build_cache_delete(app).map_err(Refusal::from)).await?;
        self.wake.garbage();
        Ok(())
    }
}

fn check_source(source: &BuildSource) -> Result<(), Refusal> {
    let BuildSource::Url { url, checksum, version, description } = source else { return Ok(()) };
    let http = url.starts_with("https://") || url.starts_with("http://");
    if !http || url.len() > URL_BYTES_MAX || !url.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Refusal::invalid("source_blob.url must be an http or https URL of a tarball."));
    }
    if [version, description].into_iter().flatten().any(|text| text.len() > VERSION_BYTES_MAX) {
        return Err(Refusal::invalid(format!("The version may have at most {VERSION_BYTES_MAX} bytes.")));
    }
    if checksum.as_deref().is_some_and(|sum| !is_checksum(sum)) {
        return Err(Refusal::invalid("source_blob.checksum must look like SHA256: and 64 hex digits."));
    }
    Ok(())
}

pub(super) fn is_checksum(text: &str) -> bool {
    text.strip_prefix("SHA256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}
