//! The way out of a build: what the dyno left becomes a slug and a release, or the user reads why not.

use std::time::Duration;

use jiff::SignedDuration;
use renga_model::{
    Build, BuildSource, BuildStatus, Dyno, DynoState, ExitReason, LayerDigest, Refusal, Release,
    ReleaseStatus, Slug, SlugId, SlugLayer, SlugUpload, limits,
};
use renga_ports::{BUILD_RESULT_PATH, BuildFailure, BuildResult, BuiltLayer, RuntimeError};
use renga_store::BuildCache;

use super::{Facts, prepare::source_file};
use crate::{
    Engine,
    driver::Next,
    error,
    loops::dynos,
    operations::{
        release::{NewRelease, release_create},
        slugs,
    },
    words,
};
use renga_store::OrNone;

/// Bytes of `/out/result.json` (ours; a real one has a few hundred).
const RESULT_BYTES_MAX: u64 = 1024 * 1024;

/// Steps of the build's output that the engine writes; the builder's own lines come after the first of them.
const STEP_WAITING: u64 = 1;
const STEP_PACKED: u64 = 2;
const STEP_LAUNCHED: u64 = 3;
const STEP_FAILED: u64 = 4;
/// A node that is away for less than this has been restarted, and nobody needs to know.
const AWAY_UNTOLD: SignedDuration = SignedDuration::from_secs(5);

/// The build can't begin because the node does not answer: whoever watches reads why nothing happens.
pub(crate) async fn tell_waiting(engine: &Engine, facts: &Facts, dyno: &Dyno) -> Result<(), Refusal> {
    let waited = engine.now().duration_since(facts.build.updated_at);
    if dyno.state != DynoState::Starting || waited < AWAY_UNTOLD {
        return Ok(());
    }
    let text = " !     The dyno manager does not answer; the build begins when it is back.\n";
    engine.logs.output_append(&facts.build.id.to_string(), STEP_WAITING, text).await.map_err(error::logs)
}

/// The dyno has exited: pack and release, or fail.
pub(crate) async fn conclude(engine: &Engine, facts: &Facts, dyno: &Dyno) -> Result<Next, Refusal> {
    let output = facts.build.id.to_string();
    engine.logs.follow_output(&output, dyno.id);
    engine.logs.drained(dyno.id).await.map_err(error::logs)?;
    if let Some(why) = why_failed(facts, dyno, engine.settings.build_timeout) {
        // Nobody reads the output of what only unpacks.
        let said = if why.is_empty() && facts.upload.is_some() { told(engine, dyno).await? } else { why };
        return fail(engine, facts, &said).await;
    }
    engine.logs.output_append(&output, STEP_PACKED, words::COMPRESSING).await.map_err(error::logs)?;
    let packed = match pack(engine, facts, dyno).await {
        Ok(packed) => packed,
        Err(Broken::Ours(refusal)) => return Err(refusal),
        Err(Broken::Theirs(why)) => return fail(engine, facts, &why).await,
    };
    let bytes = packed.slug.bytes;
    if bytes > limits::SLUG_BYTES_MAX {
        return fail(engine, facts, &words::slug_too_large(bytes)).await;
    }
    if facts.upload.is_some() {
        keep(engine, facts, packed.slug).await?;
    } else {
        release(engine, facts, packed).await?;
    }
    Ok(Next::Again(Duration::ZERO))
}

/// What the builder gave as the reason.
async fn told(engine: &Engine, dyno: &Dyno) -> Result<String, Refusal> {
    let left = match engine.runtime.read_file(dyno.id, BUILD_RESULT_PATH, RESULT_BYTES_MAX).await {
        Ok(json) => serde_json::from_slice::<BuildFailure>(&json).ok(),
        Err(RuntimeError::Refused(_) | RuntimeError::NotFound(_)) => None,
        Err(failed) => return Err(error::runtime(failed)),
    };
    Ok(left.map_or_else(|| "The slug could not be unpacked.".into(), |left| left.failure))
}

/// A slug that was brought is there now; whoever wants it released says so.
async fn keep(engine: &Engine, facts: &Facts, slug: Slug) -> Result<(), Refusal> {
    let mut build = facts.build.clone();
    build.slug = Some(slug.id);
    build.updated_at = engine.now();
    let keep = engine.store.write(move |tx| -> Result<(), Refusal> {
        if tx.app_fetch(slug.app).or_none()?.is_none_or(|app| app.deleted) {
            return Err(Refusal::not_found("app"));
        }
        tx.slug_insert(&slug)?;
        tx.build_update(&build, BuildStatus::Building)?;
        Ok(())
    });
    keep.await
}

/// None if the builder ended well. What it printed itself is not said again.
fn why_failed(facts: &Facts, dyno: &Dyno, timeout: Duration) -> Option<String> {
    let exit = dyno.exit.as_ref()?;
    let age = exit.at.duration_since(facts.build.updated_at);
    match &exit.reason {
        ExitReason::NoRoom(why) => Some(format!("The platform has no room for the build now: {why}.")),
        ExitReason::NotStarted(cause) => Some(format!("The build could not be started: {cause}")),
        ExitReason::SupervisorLost => Some("The build was lost with its supervisor. Push again.".into()),
        ExitReason::OutOfMemory => Some("The build used more memory than a build may.".into()),
        ExitReason::Exited | ExitReason::GraceOver if exit.code == 0 => None,
        _ if Duration::try_from(age).is_ok_and(|age| age >= timeout) => {
            Some(format!("The build took longer than {} and was stopped.", words::duration(timeout)))
        }
        _ if exit.code == 1 => Some(String::new()),
        _ => Some(format!("The build ended with status {}.", exit.code)),
    }
}

struct Packed {
    slug: Slug,
    cache: BuildCache,
    result: BuildResult,
}

/// Whose fault it is that there is no slug.
enum Broken {
    Ours(Refusal),
    Theirs(String),
}

impl From<RuntimeError> for Broken {
    fn from(failed: RuntimeError) -> Self {
        match failed {
            RuntimeError::Refused(why) => Self::Theirs(why),
            RuntimeError::NotFound(what) => Self::Theirs(format!("The build left no {what}.")),
            other => Self::Ours(error::runtime(other)),
        }
    }
}

async fn pack(engine: &Engine, facts: &Facts, dyno: &Dyno) -> Result<Packed, Broken> {
    let json = engine.runtime.read_file(dyno.id, BUILD_RESULT_PATH, RESULT_BYTES_MAX).await?;
    let result: BuildResult = serde_json::from_slice(&json)
        .map_err(|e| Broken::Theirs(format!("The build's result can't be read: {e}.")))?;
    slugs::check_process_types(&result.process_types).map_err(Broken::Theirs)?;
    let mut layers = Vec::new();
    for layer in &result.layers {
        layers.push(pack_layer(engine, facts, dyno, layer).await?);
    }
    let cache = match &result.cache {
        Some(layer) => Some(pack_layer(engine, facts, dyno, layer).await?),
        None => facts.cache.cache.clone(),
    };
    let (build, app) = (&facts.build, &facts.app);
    let (commit, commit_description) = described(engine, build).await;
    let slug = Slug {
        id: SlugId::from_uuid(build.id.uuid()),
        app: app.id,
        stack: build.stack.clone(),
        bytes: layers.iter().map(|layer| layer.bytes).sum(),
        process_types: result.process_types.clone(),
        commit,
        commit_description,
        buildpack_provided_description: result.language.clone(),
        checksum: None,
        created_at: engine.now(),
        layers,
    };
    let slug = match &facts.upload {
        Some(upload) => as_said(slug, upload),
        None => slug,
    };
    let kept = slug.layers.iter().filter(|layer| layer.key.is_some()).cloned().collect();
    let cache = BuildCache { cache, layers: kept, facts: result.facts.clone() };
    Ok(Packed { slug, cache, result })
}

/// Of a slug that was brought everything but its layers was said when it was.
fn as_said(slug: Slug, upload: &SlugUpload) -> Slug {
    let said = upload.clone();
    Slug {
        id: said.id,
        process_types: said.process_types,
        commit: said.commit,
        commit_description: said.commit_description,
        buildpack_provided_description: said.buildpack_provided_description,
        checksum: said.checksum,
        ..slug
    }
}

async fn pack_layer(
    engine: &Engine,
    facts: &Facts,
    dyno: &Dyno,
    layer: &BuiltLayer,
) -> Result<SlugLayer, Broken> {
    match layer {
        BuiltLayer::Cached { key } => {
            let known = facts.cache.layers.iter().find(|known| known.key.as_ref() == Some(key));
            known.cloned().ok_or_else(|| {
                Broken::Theirs(format!("The build names a cached layer that is not there: {key}."))
            })
        }
        BuiltLayer::Fresh { key, directory } => {
            let packed = engine.runtime.pack(dyno.id, directory).await?;
            let digest: LayerDigest = packed.digest;
            Ok(SlugLayer { digest, key: key.clone(), bytes: packed.bytes })
        }
    }
}

async fn described(engine: &Engine, build: &Build) -> (Option<String>, Option<String>) {
    match &build.source {
        BuildSource::Git { commit, .. } => {
            let subject = engine.git.commit_subject(build.app, commit).await.ok();
            (Some(commit.clone()), subject)
        }
        BuildSource::Url { version, description, .. } => (version.clone(), description.clone()),
        BuildSource::Slug { .. } => (None, None),
    }
}

/// Slug, release, cache and the build's marks in one transaction: all of it or nothing.
async fn release(engine: &Engine, facts: &Facts, packed: Packed) -> Result<(), Refusal> {
    let now = engine.now();
    let (mut build, app_id, settings) = (facts.build.clone(), facts.app.id, engine.settings.clone());
    let repo_bytes = engine.git.repository_bytes(app_id).await.ok();
    let version = build.source.version().map_or_else(|| build.id.to_string(), str::to_owned);
    let made = engine.store.write(move |tx| -> Result<Release, Refusal> {
        if tx.app_fetch(app_id).or_none()?.is_none_or(|app| app.deleted) {
            return Err(Refusal::not_found("app"));
        }
        if tx.build_fetch(build.id)?.cancelled {
            return Err(Refusal::conflict("The build was cancelled."));
        }
        tx.slug_insert(&packed.slug)?;
        let latest = tx.release_latest(app_id)?;
        let config = with_defaults(latest.as_ref(), &packed.result);
        let made = release_create(
            tx,
            &settings,
            NewRelease {
                app: app_id,
                user: build.user,
                description: words::deploy(&version),
                slug: Some(packed.slug.id),
                config,
                attachments: latest.map(|release| release.attachments).unwrap_or_default(),
            },
            now,
        )?;
        tx.build_cache_put(app_id, &packed.cache)?;
        // Read again: the release has left its mark on the row.
        let mut app = tx.app_fetch(app_id)?;
        app.stack = packed.slug.stack.clone();
        app.slug_bytes = Some(packed.slug.bytes);
        app.repo_bytes = repo_bytes.or(app.repo_bytes);
        app.buildpack_provided_description = packed.result.language.clone();
        app.detected_buildpack = packed.result.detected.clone().or(app.detected_buildpack);
        app.updated_at = now;
        tx.app_update(&app)?;
        build.slug = Some(packed.slug.id);
        build.release = Some(made.id);
        build.updated_at = now;
        tx.build_update(&build, BuildStatus::Building)?;
        Ok(made)
    });
    let made = made.await?;
    crate::operations::release::announce(engine, &made);
    Ok(())
}

/// Config vars that `bin/release` asks for are set once, on the first release with code.
fn with_defaults(latest: Option<&Release>, result: &BuildResult) -> renga_model::ConfigVars {
    let config = latest.map(|release| release.config.clone()).unwrap_or_default();
    if latest.is_some_and(|release| release.slug.is_some()) {
        return config;
    }
    let missing = result.config_defaults.iter().filter(|(key, _)| config.get(key).is_none());
    let defaults =
        missing.filter_map(|(key, value)| Some((key.parse().ok()?, renga_model::Secret::new(value))));
    let kept = config.iter().map(|(key, value)| (key.clone(), value.clone()));
    kept.chain(defaults).collect()
}

/// The pusher reads what was made. Written once, however often the pass runs.
pub(crate) async fn announce(engine: &Engine, facts: &Facts, release: &Release) -> Result<(), Refusal> {
    let bytes = facts.app.slug_bytes.unwrap_or_default();
    let url = engine.settings.web_url(&facts.app.name);
    let text = words::launched(bytes, release, &url);
    let output = facts.build.id.to_string();
    engine.logs.output_append(&output, STEP_LAUNCHED, &text).await.map_err(error::logs)?;
    engine.logs.output_finish(&output).await.map_err(error::logs)
}

pub(crate) async fn succeed(engine: &Engine, facts: &Facts) -> Result<Next, Refusal> {
    if let BuildSource::Git { commit, branch, .. } = &facts.build.source {
        engine.git.branch_move(facts.app.id, branch, commit).await.map_err(error::git)?;
    }
    end(engine, facts, BuildStatus::Succeeded, None, Some(words::BUILD_SUCCEEDED)).await
}

/// The slug stands, its release does not: the old one keeps serving and the branch stays.
pub(crate) async fn fail_release(engine: &Engine, facts: &Facts) -> Result<Next, Refusal> {
    debug_assert!(facts.release.as_ref().is_some_and(|release| release.status == ReleaseStatus::Failed));
    end(engine, facts, BuildStatus::Failed, Some("The release command failed.".into()), None).await
}

/// `why` may be empty when the builder has said it.
pub(crate) async fn fail(engine: &Engine, facts: &Facts, why: &str) -> Result<Next, Refusal> {
    let output = facts.build.id.to_string();
    if !why.is_empty() {
        let text = words::push_failed(why);
        engine.logs.output_append(&output, STEP_FAILED, &text).await.map_err(error::logs)?;
    }
    engine.logs.output_finish(&output).await.map_err(error::logs)?;
    let failure = if why.is_empty() { "The build failed; its output says why." } else { why };
    let says = facts.build.source.slug().is_none().then_some(words::BUILD_FAILED);
    end(engine, facts, BuildStatus::Failed, Some(failure.to_owned()), says).await
}

/// Clears away what the build needed, then closes its row: a row that is open still owns all of it.
pub(crate) async fn end(
    engine: &Engine,
    facts: &Facts,
    status: BuildStatus,
    failure: Option<String>,
    says: Option<&'static str>,
) -> Result<Next, Refusal> {
    if facts.dyno.is_some() {
        dynos::forget(engine, facts.build.dyno).await?;
    }
    match tokio::fs::remove_file(source_file(&engine.settings, &facts.build)).await {
        Err(failed) if failed.kind() != std::io::ErrorKind::NotFound => {
            return Err(Refusal::internal(failed));
        }
        _ => {}
    }
    let (mut build, was) = (facts.build.clone(), facts.build.status);
    build.status = status;
    build.failure = failure;
    build.updated_at = engine.now();
    let close = engine.store.write(move |tx| -> Result<(), Refusal> {
        if tx.dyno_fetch(build.dyno).or_none()?.is_some() {
            tx.dyno_delete(build.dyno)?;
        }
        tx.build_update(&build, was)?;
        if let Some(text) = says {
            tx.say(build.app, &words::api(build.updated_at, text))?;
        }
        Ok(())
    });
    close.await?;
    engine.wake.garbage();
    engine.changes.tell();
    Ok(Next::Rest)
}
