//! Builds: asked for by a push or by the API, carried out by the build workflow.

use renga_model::{AccountId, AppId, Build, BuildId, BuildSource, BuildStatus, DynoId, Refusal};
use renga_store::OrNone;

use crate::{Engine, words};

/// Asks for a build. `buildpacks` empty means the app's own list. One build per app at a time: another one under way
/// is a conflict.
pub async fn create(
    engine: &Engine,
    app: AppId,
    user: AccountId,
    source: BuildSource,
    buildpacks: Vec<String>,
) -> Result<Build, Refusal> {
    let now = engine.now();
    let insert = engine.store.write(move |tx| -> Result<_, Refusal> {
        let app = tx
            .app_fetch(app)
            .or_none()?
            .filter(|app| !app.deleted)
            .ok_or_else(|| Refusal::not_found("app"))?;
        let own = app.buildpacks.iter().map(|buildpack| buildpack.0.clone()).collect();
        let build = Build {
            id: BuildId::random(),
            app: app.id,
            user,
            status: BuildStatus::Pending,
            source,
            stack: app.build_stack.clone(),
            buildpacks: if buildpacks.is_empty() { own } else { buildpacks },
            dyno: DynoId::random(),
            slug: None,
            release: None,
            failure: None,
            created_at: now,
            updated_at: now,
        };
        tx.build_insert(&build)?;
        let email = tx.account_fetch(user).or_none()?.map(|account| account.email).unwrap_or_default();
        Ok((build, email))
    });
    let (build, email) = insert.await?;
    engine.logs.output_append(&build.id.to_string(), 0, "").await.map_err(crate::error::logs)?;
    engine.logs.write(app, words::api(now, format!("Build started by user {email}")));
    engine.wake.builds(build.id);
    Ok(build)
}
