//! Slugs that clients bring: said, put as an archive, and unpacked in a build dyno when they are first released.
//!
//! The archive is somebody else's: nothing of it is looked at but in that dyno. It is kept for a day, to be fetched
//! again; the slug that came of it stays as long as a release needs it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::SignedDuration;
use renga_model::{
    Account, App, AppId, Build, BuildSource, BuildStatus, Fault, ProcessType, Refusal, Slug, SlugId,
    SlugUpload, StackName, limits,
};
use renga_store::OrNone;
use tokio::time::Instant;

use super::{Permission, access::app_row, builds};
use crate::{Engine, Settings};

/// How long it may be put, released and fetched again (ours).
const LIFE: SignedDuration = SignedDuration::from_hours(24);
/// Old ones that one new one clears away.
const CLEAR_AT_ONCE: usize = 16;
/// How long a release waits for its slug to be unpacked; clients give up after some more.
const UNPACK_WAIT: Duration = Duration::from_secs(25);
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Process types of an app (ours).
const PROCESS_TYPES_MAX: usize = 100;
/// Bytes of a commit's name and of each description (ours).
const TEXT_BYTES_MAX: usize = 1_024;

/// What is said of a slug before it is there.
#[derive(Debug, Clone)]
pub struct SlugNew {
    pub stack: StackName,
    pub process_types: BTreeMap<ProcessType, String>,
    pub checksum: Option<String>,
    pub commit: Option<String>,
    pub commit_description: Option<String>,
    pub buildpack_provided_description: Option<String>,
}

/// A slug, or what is to become one.
#[derive(Debug, Clone)]
pub enum SlugView {
    /// `has_archive`: somebody brought it, and what he put is still kept.
    Slug {
        slug: Slug,
        has_archive: bool,
    },
    Upload {
        upload: SlugUpload,
        has_archive: bool,
    },
}

impl Engine {
    pub async fn slug_create(&self, app: &App, new: SlugNew) -> Result<SlugUpload, Refusal> {
        check_process_types(&new.process_types).map_err(Refusal::invalid)?;
        check_texts(&new)?;
        self.slug_uploads_clear().await?;
        self.check_room().await?;
        let upload = SlugUpload {
            id: SlugId::random(),
            app: app.id,
            stack: new.stack,
            process_types: new.process_types,
            checksum: new.checksum,
            commit: new.commit,
            commit_description: new.commit_description,
            buildpack_provided_description: new.buildpack_provided_description,
            created_at: self.now(),
        };
        let insert = self.store.write(move |tx| -> Result<SlugUpload, Refusal> {
            app_row(tx, upload.app)?;
            let most = limits::SLUG_UPLOADS_PER_APP_MAX;
            if tx.slug_upload_count(upload.app)? >= most {
                return Err(Refusal::invalid(format!(
                    "At most {most} slugs of an app may be made in a day."
                )));
            }
            tx.slug_upload_insert(&upload)?;
            Ok(upload)
        });
        insert.await
    }

    /// A slug of this app.
    pub async fn slug_fetch(&self, app: AppId, slug: &str) -> Result<SlugView, Refusal> {
        let not_found = || Refusal::not_found("slug");
        let id: SlugId = slug.parse().map_err(|_| not_found())?;
        let (slug, upload) = self.slug_rows(id).await?;
        let has_archive = upload.is_some() && there(&file(&self.settings, id)).await?;
        match (slug, upload) {
            (Some(slug), _) if slug.app == app => Ok(SlugView::Slug { slug, has_archive }),
            (None, Some(upload)) if upload.app == app => Ok(SlugView::Upload { upload, has_archive }),
            _ => Err(not_found()),
        }
    }

    async fn slug_rows(&self, id: SlugId) -> Result<(Option<Slug>, Option<SlugUpload>), Refusal> {
        let read = self.store.read(move |read| -> Result<_, Refusal> {
            Ok((read.slug_fetch(id).or_none()?, read.slug_upload_fetch(id).or_none()?))
        });
        read.await
    }

    /// Where the archive lies, for somebody who may fetch it.
    pub async fn slug_archive(&self, id: SlugId) -> Result<PathBuf, Refusal> {
        let file = file(&self.settings, id);
        let (_, upload) = self.slug_rows(id).await?;
        if upload.is_none() || !there(&file).await? {
            let say = "There is no archive of that slug: it was built here, or brought more than a day ago.";
            return Err(Refusal::new(Fault::NotFound("slug"), say));
        }
        Ok(file)
    }

    /// Where the archive shall lie, as long as nothing has come of it.
    pub async fn slug_archive_place(&self, id: SlugId) -> Result<PathBuf, Refusal> {
        let (slug, upload) = self.slug_rows(id).await?;
        let upload = upload.ok_or_else(|| Refusal::not_found("slug"))?;
        if slug.is_some() || self.unpacking(&upload).await?.is_some() {
            return Err(Refusal::invalid("This slug is complete: make another one."));
        }
        self.check_room().await?;
        Ok(file(&self.settings, id))
    }

    /// The slug of this id, unpacked if it only was brought; `actor` must be let deploy the app that it is of.
    pub(super) async fn slug_ready(&self, actor: &Account, id: SlugId) -> Result<Slug, Refusal> {
        let not_found = || Refusal::not_found("slug");
        let (slug, upload) = self.slug_rows(id).await?;
        let app = slug.as_ref().map(|slug| slug.app).or(upload.as_ref().map(|upload| upload.app));
        let app = app.ok_or_else(not_found)?;
        self.app_for(actor.id, &app.to_string(), Permission::Deploy).await.map_err(|_| not_found())?;
        match (slug, upload) {
            (Some(slug), _) => Ok(slug),
            (None, Some(upload)) => self.unpack(actor, upload).await,
            (None, None) => Err(not_found()),
        }
    }

    async fn unpack(&self, actor: &Account, upload: SlugUpload) -> Result<Slug, Refusal> {
        if !there(&file(&self.settings, upload.id)).await? {
            return Err(Refusal::invalid(
                "Nothing was uploaded for that slug yet. PUT its archive to blob.url, then release it.",
            ));
        }
        let mut changes = self.changes.subscribe();
        let build = self.unpack_begin(actor, &upload).await?.id;
        let deadline = Instant::now() + UNPACK_WAIT;
        loop {
            let row = self.store.read(move |read| read.build_fetch(build).map_err(Refusal::from)).await?;
            match row.status {
                BuildStatus::Succeeded => {
                    return self
                        .store
                        .read(move |read| read.slug_fetch(upload.id).map_err(Refusal::from))
                        .await;
                }
                BuildStatus::Failed => return Err(Refusal::invalid(row.failure.unwrap_or_default())),
                BuildStatus::Pending | BuildStatus::Building if Instant::now() < deadline => {}
                BuildStatus::Pending | BuildStatus::Building => {
                    return Err(Refusal::unavailable(
                        "The slug is still being unpacked. Release it again in a moment.",
                    ));
                }
            }
            tokio::time::timeout(LOOK_AGAIN, changes.changed()).await.ok();
        }
    }

    /// One that is under way already is as good.
    async fn unpack_begin(&self, actor: &Account, upload: &SlugUpload) -> Result<Build, Refusal> {
        if let Some(build) = self.unpacking(upload).await? {
            return Ok(build);
        }
        let source = BuildSource::Slug { slug: upload.id };
        match builds::begin(self, upload.app, actor.id, source, Vec::new()).await {
            Ok(build) => Ok(build),
            Err(refusal) => self.unpacking(upload).await?.ok_or(refusal),
        }
    }

    async fn unpacking(&self, upload: &SlugUpload) -> Result<Option<Build>, Refusal> {
        let builds = self.store.read(|read| read.build_list_unfinished().map_err(Refusal::from)).await?;
        Ok(builds.into_iter().find(|build| build.source.slug() == Some(upload.id)))
    }

    /// Those that are past their time.
    pub(crate) async fn slug_uploads_clear(&self) -> Result<(), Refusal> {
        let before = self.now() - LIFE;
        let old =
            self.store.read(move |read| read.slug_upload_list_older(before).map_err(Refusal::from)).await?;
        for upload in old.into_iter().take(CLEAR_AT_ONCE) {
            if self.unpacking(&upload).await?.is_some() {
                continue;
            }
            remove(&file(&self.settings, upload.id)).await?;
            self.store.write(move |tx| tx.slug_upload_delete(upload.id).map_err(Refusal::from)).await?;
        }
        Ok(())
    }
}

/// The archives of an app that goes; the rows go with it.
pub(crate) async fn remove_archives(engine: &Engine, app: AppId) -> Result<(), Refusal> {
    let all = engine.store.read(|read| read.slug_upload_list().map_err(Refusal::from)).await?;
    for upload in all.iter().filter(|upload| upload.app == app) {
        remove(&file(&engine.settings, upload.id)).await?;
    }
    Ok(())
}

async fn remove(file: &Path) -> Result<(), Refusal> {
    match tokio::fs::remove_file(file).await {
        Err(failed) if failed.kind() != std::io::ErrorKind::NotFound => Err(Refusal::internal(failed)),
        _ => Ok(()),
    }
}

/// Where the archive of a slug lies.
pub(crate) fn file(settings: &Settings, slug: SlugId) -> PathBuf {
    settings.exchange.join(format!("slug-{slug}.tgz"))
}

async fn there(file: &Path) -> Result<bool, Refusal> {
    tokio::fs::try_exists(file).await.map_err(Refusal::internal)
}

/// What no dyno could be started with is refused where somebody reads it.
pub(crate) fn check_process_types(types: &BTreeMap<ProcessType, String>) -> Result<(), String> {
    if types.len() > PROCESS_TYPES_MAX {
        return Err(format!(
            "The app declares {} process types. At most {PROCESS_TYPES_MAX} are possible.",
            types.len()
        ));
    }
    for (name, command) in types {
        if command.len() > limits::COMMAND_BYTES_MAX {
            let (has, most) = (command.len().div_ceil(1024), limits::COMMAND_BYTES_MAX / 1024);
            return Err(format!(
                "The command of process type {name} has {has} KB. At most {most} KB are possible: put it into a script."
            ));
        }
        if command.contains('\0') {
            return Err(format!(
                "The command of process type {name} contains a NUL byte, which no program can be given."
            ));
        }
    }
    Ok(())
}

fn check_texts(new: &SlugNew) -> Result<(), Refusal> {
    if new.checksum.as_deref().is_some_and(|sum| !builds::is_checksum(sum)) {
        return Err(Refusal::invalid("checksum must look like SHA256: and 64 hex digits."));
    }
    let texts = [&new.commit, &new.commit_description, &new.buildpack_provided_description];
    if texts.into_iter().flatten().any(|text| text.len() > TEXT_BYTES_MAX) {
        return Err(Refusal::invalid(format!(
            "A commit and its descriptions may have at most {TEXT_BYTES_MAX} bytes each."
        )));
    }
    Ok(())
}
