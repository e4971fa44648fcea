//! The way into a build: the source on disk, the dyno's row, and its spec.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use renga_model::{
    Build, BuildSource, BuildStatus, Dyno, DynoEvent, DynoKind, DynoName, DynoState, ProcessType, Refusal,
    Secret, Worker, limits,
};
use renga_ports::{
    BUILD_REQUEST_PATH, BuildRequest, CachedLayer, DynoLimits, DynoSpec, InputFile, MountedLayer, SpecFile,
};

use super::{Facts, finish};
use crate::{
    Engine, Settings,
    driver::Next,
    error,
    operations::{slugs, sources},
};

const SOURCE_PATH: &str = "/source.tar";
/// CPU shares of a build: half of a standard dyno's, so that running apps come first.
const BUILD_CPU_SHARES: u64 = 512;
const BUILD_PROCESSES_MAX: u64 = 4096;
const BUILD_OPEN_FILES_MAX: u64 = 10_000;

pub(crate) async fn begin(engine: &Engine, facts: Facts) -> Result<Next, Refusal> {
    let running = engine.store.read(|read| read.build_list_unfinished().map_err(error::store)).await?;
    if running.iter().filter(|b| b.status == BuildStatus::Building).count() >= engine.settings.builds_max {
        return Ok(Next::Again(Duration::from_millis(500)));
    }
    if let Err(refusal) = fetch_source(engine, &facts.build).await {
        tracing::warn!(build.id = %facts.build.id, "could not prepare a build's source: {refusal:?}");
        return finish::fail(engine, &facts, &refusal.say).await;
    }
    let row = dyno_row(engine, &facts.build);
    let (mut build, now) = (facts.build.clone(), engine.now());
    build.status = BuildStatus::Building;
    build.updated_at = now;
    let commit = engine.store.write(move |tx| -> Result<(), Refusal> {
        tx.dyno_insert(&row)?;
        tx.dyno_move(row.id, row.generation, DynoEvent::Start, now)?;
        tx.build_update(&build, BuildStatus::Pending)?;
        Ok(())
    });
    commit.await?;
    Ok(Next::Again(Duration::ZERO))
}

/// Where the build's source lies while it is needed.
pub(crate) fn source_file(settings: &Settings, build: &Build) -> PathBuf {
    settings.exchange.join(format!("build-{}.tar", build.id))
}

/// A git commit is written as an archive; an upload of ours is linked; any other URL is fetched by the build dyno.
async fn fetch_source(engine: &Engine, build: &Build) -> Result<(), Refusal> {
    let target = source_file(&engine.settings, build);
    match &build.source {
        BuildSource::Git { commit, .. } => {
            engine.git.archive(build.app, commit, &target).await.map_err(error::git)
        }
        BuildSource::Url { url, .. } => match sources::uploaded_file(engine, url).await? {
            Some(upload) => {
                tokio::fs::remove_file(&target).await.ok();
                tokio::fs::hard_link(upload, &target).await.map_err(Refusal::internal)
            }
            None => Ok(()),
        },
        BuildSource::Slug { slug } => {
            tokio::fs::remove_file(&target).await.ok();
            let archive = slugs::file(&engine.settings, *slug);
            tokio::fs::hard_link(archive, &target).await.map_err(Refusal::internal)
        }
    }
}

fn dyno_row(engine: &Engine, build: &Build) -> Dyno {
    let now = engine.now();
    let process_type: ProcessType = "build".parse().expect("a legal process type");
    Dyno {
        id: build.dyno,
        app: build.app,
        name: DynoName::new(process_type, 1),
        worker: Worker::Build,
        release: None,
        release_version: None,
        size: "build".into(),
        command: "build".into(),
        state: DynoState::Planned,
        generation: 0,
        epoch: 0,
        address: None,
        exit: None,
        created_at: now,
        updated_at: now,
    }
}

pub(crate) fn spec(engine: &Engine, facts: &Facts, dyno: &Dyno) -> Result<DynoSpec, Refusal> {
    let settings = &engine.settings;
    let (build, file) = (&facts.build, source_file(settings, &facts.build));
    let has_file = file.exists();
    let mounts = facts.cache.layers.iter().enumerate();
    let mounts: Vec<_> = mounts
        .map(|(n, layer)| MountedLayer { digest: layer.digest.clone(), path: format!("/layers/{n}") })
        .collect();
    let request = request(settings, facts, if has_file { SOURCE_PATH } else { source_url(build) });
    let content = serde_json::to_string(&request).map_err(Refusal::internal)?;
    Ok(DynoSpec {
        id: dyno.id,
        generation: dyno.generation,
        app: dyno.app,
        kind: DynoKind::Build,
        name: dyno.name.clone(),
        stack: build.stack.clone(),
        layers: facts.cache.cache.iter().map(|layer| layer.digest.clone()).collect(),
        mounts,
        inputs: has_file.then(|| InputFile { host: file, path: SOURCE_PATH.into() }).into_iter().collect(),
        files: vec![SpecFile { path: BUILD_REQUEST_PATH.into(), content: Secret::new(content) }],
        with_builder: true,
        argv: vec!["/renga/build".into()],
        env: build_env(settings),
        limits: DynoLimits {
            memory_bytes: settings.build_memory_bytes,
            cpu_shares: BUILD_CPU_SHARES,
            processes_max: BUILD_PROCESSES_MAX,
            open_files_max: BUILD_OPEN_FILES_MAX,
            disk_bytes: settings.build_disk_bytes,
            time_to_live: Some(settings.build_timeout),
        },
        port: None,
        tty: None,
        attach: false,
        metered: false,
    })
}

fn source_url(build: &Build) -> &str {
    match &build.source {
        BuildSource::Url { url, .. } => url,
        BuildSource::Git { .. } | BuildSource::Slug { .. } => SOURCE_PATH,
    }
}

fn request(settings: &Settings, facts: &Facts, source: &str) -> BuildRequest {
    let build = &facts.build;
    let (checksum, strip_top_folder) = match &build.source {
        BuildSource::Git { .. } => (None, false),
        BuildSource::Url { checksum, .. } => (checksum.clone(), true),
        BuildSource::Slug { .. } => (facts.upload.as_ref().and_then(|upload| upload.checksum.clone()), false),
    };
    let cached = facts.cache.layers.iter().enumerate();
    let cached = cached
        .filter_map(|(n, layer)| Some(CachedLayer { key: layer.key.clone()?, path: format!("/layers/{n}") }));
    BuildRequest {
        build: build.id.to_string(),
        stack: build.stack.clone(),
        source: source.to_owned(),
        strip_top_folder,
        version: build.source.version().map(str::to_owned),
        checksum,
        buildpacks: build.buildpacks.clone(),
        remembered: facts.app.detected_buildpack.clone(),
        config: facts.config.iter().map(|(key, value)| (key.to_string(), value.clone())).collect(),
        cached: cached.collect(),
        facts: facts.cache.facts.clone(),
        site_env: settings.site_build_env.clone(),
        slug_bytes_max: limits::SLUG_BYTES_MAX,
        is_slug: build.source.slug().is_some(),
    }
}

fn build_env(settings: &Settings) -> BTreeMap<String, Secret> {
    let site = settings.site_build_env.iter().map(|(key, value)| (key.clone(), Secret::new(value)));
    let fixed =
        [("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"), ("HOME", "/app"), ("LANG", "C.UTF-8")];
    site.chain(fixed.map(|(key, value)| (key.to_owned(), Secret::new(value)))).collect()
}
