//! Apps. One that its owner destroyed keeps its row, without its name, until the loops have taken it apart.

use renga_model::{AccountId, App, AppId, AppName, Buildpack};
use rusqlite::{named_params, params};

use crate::{
    Read, StoreError, Tx,
    row::{Cells, bytes, micros, to_json},
};

impl Read<'_> {
    /// Also one that is being taken apart.
    pub fn app_fetch(&self, id: AppId) -> Result<App, StoreError> {
        self.first("fetch an app", "SELECT * FROM app WHERE id = ?1", [bytes(id)], app)?
            .ok_or(StoreError::not_found("app"))
    }

    pub fn app_find(&self, name: &AppName) -> Result<Option<App>, StoreError> {
        let sql = "SELECT * FROM app WHERE name = ?1 AND deleted = 0";
        self.first("find an app", sql, [name.as_str()], app)
    }

    /// By name, without those that are being taken apart.
    pub fn app_list(&self) -> Result<Vec<App>, StoreError> {
        self.all("list apps", "SELECT * FROM app WHERE deleted = 0 ORDER BY name", [], app)
    }

    /// By name, without those that are being taken apart.
    pub fn app_list_for_owner(&self, owner: AccountId) -> Result<Vec<App>, StoreError> {
        let sql = "SELECT * FROM app WHERE owner = ?1 AND deleted = 0 ORDER BY name";
        self.all("list an owner's apps", sql, [bytes(owner)], app)
    }

    pub fn app_count_of_owner(&self, owner: AccountId) -> Result<usize, StoreError> {
        let sql = "SELECT count(*) AS apps FROM app WHERE owner = ?1 AND deleted = 0";
        Ok(self.first("count an owner's apps", sql, [bytes(owner)], |c| c.get("apps"))?.unwrap_or_default())
    }

    /// What the account may do something to without owning it, by name.
    pub fn app_list_for_collaborator(&self, account: AccountId) -> Result<Vec<App>, StoreError> {
        let sql = "SELECT app.* FROM app JOIN collaborator ON collaborator.app = app.id
             WHERE collaborator.account = ?1 AND app.deleted = 0 ORDER BY app.name";
        self.all("list a collaborator's apps", sql, [bytes(account)], app)
    }

    /// Those that are being taken apart, the longest gone first.
    pub fn apps_deleted(&self) -> Result<Vec<App>, StoreError> {
        let sql = "SELECT * FROM app WHERE deleted = 1 ORDER BY updated_at, id";
        self.all("list deleted apps", sql, [], app)
    }
}

impl Tx<'_> {
    pub fn app_insert(&self, app: &App) -> Result<(), StoreError> {
        let sql = "INSERT INTO app (id, name, owner, stack, build_stack, maintenance, deleted, buildpacks,
                buildpack_provided_description, detected_buildpack, repo_bytes, slug_bytes, features_on,
                features_off, created_at, updated_at, released_at, locked, acm)
             VALUES (:id, :name, :owner, :stack, :build_stack, :maintenance, :deleted, :buildpacks, :description,
                :detected, :repo_bytes, :slug_bytes, :features_on, :features_off, :created_at, :updated_at,
                :released_at, :locked, :acm)";
        self.app_write("insert an app", sql, app).map(drop)
    }

    /// Writes all fields but the id: read the app in the same closure, so that nothing is overwritten.
    pub fn app_update(&self, app: &App) -> Result<(), StoreError> {
        let sql = "UPDATE app SET name = :name, owner = :owner, stack = :stack, build_stack = :build_stack,
                maintenance = :maintenance, deleted = :deleted, buildpacks = :buildpacks,
                buildpack_provided_description = :description, detected_buildpack = :detected,
                repo_bytes = :repo_bytes, slug_bytes = :slug_bytes, features_on = :features_on,
                features_off = :features_off, created_at = :created_at, updated_at = :updated_at,
                released_at = :released_at, locked = :locked, acm = :acm
             WHERE id = :id";
        match self.app_write("update an app", sql, app)? {
            0 => Err(StoreError::not_found("app")),
            _ => Ok(()),
        }
    }

    /// Removes the app with all rows that belong to it. Whether there was one.
    pub fn app_delete(&self, id: AppId) -> Result<bool, StoreError> {
        Ok(self.change("delete an app", "DELETE FROM app WHERE id = ?1", params![bytes(id)])? > 0)
    }

    fn app_write(&self, operation: &'static str, sql: &str, app: &App) -> Result<usize, StoreError> {
        let buildpacks: Vec<&str> = app.buildpacks.iter().map(|buildpack| buildpack.0.as_str()).collect();
        self.change(
            operation,
            sql,
            named_params! {
                ":id": bytes(app.id),
                ":name": app.name.as_str(),
                ":owner": bytes(app.owner),
                ":stack": app.stack.as_str(),
                ":build_stack": app.build_stack.as_str(),
                ":maintenance": app.maintenance,
                ":deleted": app.deleted,
                ":buildpacks": to_json(&buildpacks),
                ":description": app.buildpack_provided_description,
                ":detected": app.detected_buildpack,
                ":repo_bytes": app.repo_bytes,
                ":slug_bytes": app.slug_bytes,
                ":features_on": to_json(&app.features_on),
                ":features_off": to_json(&app.features_off),
                ":created_at": micros(app.created_at),
                ":updated_at": micros(app.updated_at),
                ":released_at": app.released_at.map(micros),
                ":locked": app.locked,
                ":acm": app.acm,
            },
        )
    }
}

pub(super) fn app(c: &Cells<'_>) -> Result<App, StoreError> {
    let buildpacks: Vec<String> = c.json("buildpacks")?;
    Ok(App {
        id: c.id("id")?,
        name: c.name("name")?,
        owner: c.id("owner")?,
        stack: c.name("stack")?,
        build_stack: c.name("build_stack")?,
        maintenance: c.get("maintenance")?,
        acm: c.get("acm")?,
        locked: c.get("locked")?,
        deleted: c.get("deleted")?,
        buildpacks: buildpacks.into_iter().map(Buildpack).collect(),
        buildpack_provided_description: c.get("buildpack_provided_description")?,
        detected_buildpack: c.get("detected_buildpack")?,
        repo_bytes: c.get("repo_bytes")?,
        slug_bytes: c.get("slug_bytes")?,
        created_at: c.time("created_at")?,
        updated_at: c.time("updated_at")?,
        released_at: c.time_opt("released_at")?,
        features_on: c.json("features_on")?,
        features_off: c.json("features_off")?,
    })
}
