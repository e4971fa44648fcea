//! Builds. An app has at most one that is not over.

use jiff::Timestamp;
use renga_model::{AppId, Build, BuildId, BuildSource, BuildStatus, SlugId};
use rusqlite::params;
use serde::{Deserialize, Serialize};

use crate::{
    Read, StoreError, Tx,
    row::{Cells, bytes, limit, micros, to_json},
};

impl Read<'_> {
    pub fn build_fetch(&self, id: BuildId) -> Result<Build, StoreError> {
        self.first("fetch a build", "SELECT * FROM build WHERE id = ?1", [bytes(id)], build)?
            .ok_or(StoreError::not_found("build"))
    }

    /// Newest first.
    pub fn build_list(&self, app: AppId, limit_rows: usize) -> Result<Vec<Build>, StoreError> {
        let sql = "SELECT * FROM build WHERE app = ?1 ORDER BY created_at DESC, id DESC LIMIT ?2";
        self.all("list builds", sql, params![bytes(app), limit(limit_rows)], build)
    }

    /// Of all apps, oldest first.
    pub fn build_list_unfinished(&self) -> Result<Vec<Build>, StoreError> {
        let sql = "SELECT * FROM build WHERE status IN ('pending', 'building') ORDER BY created_at, id";
        self.all("list unfinished builds", sql, [], build)
    }
}

impl Tx<'_> {
    /// `Conflict` with `unfinished build` if the app has another one under way.
    pub fn build_insert(&self, build: &Build) -> Result<(), StoreError> {
        self.change(
            "insert a build",
            "INSERT INTO build (id, app, user, status, source, stack, buildpacks, dyno, slug, release, failure,
                created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            params![
                bytes(build.id),
                bytes(build.app),
                bytes(build.user),
                build.status.as_str(),
                to_json(&SourceJson::from(&build.source)),
                build.stack.as_str(),
                to_json(&build.buildpacks),
                bytes(build.dyno),
                build.slug.map(bytes),
                build.release.map(bytes),
                build.failure,
                micros(build.created_at),
                micros(build.updated_at)
            ],
        )
        .map(drop)
    }

    /// Cancels it, unless it is over or has made its release. Whether it did.
    pub fn build_cancel(&self, id: BuildId, now: Timestamp) -> Result<bool, StoreError> {
        let sql = "UPDATE build SET cancelled = 1, updated_at = ?2
                   WHERE id = ?1 AND status IN ('pending', 'building') AND release IS NULL";
        Ok(self.change("cancel a build", sql, params![bytes(id), micros(now)])? > 0)
    }

    /// Writes status, buildpacks, slug, release and failure (the rest of a build never changes), and is `Stale` if
    /// the status is not `from` any more. Slug and release must be there already.
    pub fn build_update(&self, build: &Build, from: BuildStatus) -> Result<(), StoreError> {
        let changed = self.change(
            "update a build",
            "UPDATE build SET status = ?3, buildpacks = ?4, slug = ?5, release = ?6, failure = ?7, updated_at = ?8
             WHERE id = ?1 AND status = ?2",
            params![
                bytes(build.id),
                from.as_str(),
                build.status.as_str(),
                to_json(&build.buildpacks),
                build.slug.map(bytes),
                build.release.map(bytes),
                build.failure,
                micros(build.updated_at)
            ],
        )?;
        if changed == 0 {
            self.build_fetch(build.id)?;
            return Err(StoreError::Stale { what: "build", id: build.id.to_string() });
        }
        Ok(())
    }
}

fn build(c: &Cells<'_>) -> Result<Build, StoreError> {
    Ok(Build {
        id: c.id("id")?,
        app: c.id("app")?,
        user: c.id("user")?,
        status: c.state("status", BuildStatus::parse)?,
        source: c.json::<SourceJson>("source")?.into(),
        stack: c.name("stack")?,
        buildpacks: c.json("buildpacks")?,
        dyno: c.id("dyno")?,
        slug: c.id_opt("slug")?,
        release: c.id_opt("release")?,
        cancelled: c.get("cancelled")?,
        failure: c.get("failure")?,
        created_at: c.time("created_at")?,
        updated_at: c.time("updated_at")?,
    })
}

/// How a source is kept; the model's enum has no JSON form of its own.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SourceJson {
    Git { commit: String, branch: String, previous: Option<String> },
    Url { url: String, checksum: Option<String>, version: Option<String>, description: Option<String> },
    Slug { slug: uuid::Uuid },
}

impl From<&BuildSource> for SourceJson {
    fn from(source: &BuildSource) -> Self {
        match source.clone() {
            BuildSource::Git { commit, branch, previous } => Self::Git { commit, branch, previous },
            BuildSource::Url { url, checksum, version, description } => {
                Self::Url { url, checksum, version, description }
            }
            BuildSource::Slug { slug } => Self::Slug { slug: slug.uuid() },
        }
    }
}

impl From<SourceJson> for BuildSource {
    fn from(json: SourceJson) -> Self {
        match json {
            SourceJson::Git { commit, branch, previous } => Self::Git { commit, branch, previous },
            SourceJson::Url { url, checksum, version, description } => {
                Self::Url { url, checksum, version, description }
            }
            SourceJson::Slug { slug } => Self::Slug { slug: SlugId::from_uuid(slug) },
        }
    }
}
