//! Who may do what to which app. The only place that knows.

use renga_model::{AccountId, App, AppId, AppName, Refusal};
use renga_store::{OrNone, Read};

use crate::Engine;

/// What somebody may do to an app; each includes the ones before it. Only the owner has any for now, and has all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// See the app, its dynos, builds and logs.
    View,
    /// Push, release, roll back, change config vars and buildpacks.
    Deploy,
    /// Scale, restart, run, maintenance.
    Operate,
    /// Rename and destroy.
    Manage,
}

impl Engine {
    /// The app that `identity` (a name or an id) means, if `actor` may do this to it. An app that he may not see is
    /// not found.
    pub async fn app_for(
        &self,
        actor: AccountId,
        identity: &str,
        permission: Permission,
    ) -> Result<App, Refusal> {
        let not_found = || Refusal::not_found("app");
        let id: Option<AppId> = identity.parse().ok();
        let name: Option<AppName> = identity.parse().ok();
        let find = self.store.read(move |read| -> Result<Option<App>, Refusal> {
            match (id, name) {
                (Some(id), _) => Ok(read.app_fetch(id).or_none()?),
                (None, Some(name)) => Ok(read.app_find(&name)?),
                (None, None) => Ok(None),
            }
        });
        let app = find.await?.filter(|app| !app.deleted).ok_or_else(not_found)?;
        match permission_of(&app, actor) {
            None => Err(not_found()),
            Some(given) if given < permission => {
                Err(Refusal::forbidden("You do not have permission to do this to the app."))
            }
            Some(_) => Ok(app),
        }
    }
}

impl Engine {
    /// Whether the app is still there, for those who were let in before.
    pub async fn app_stands(&self, app: AppId) -> Result<bool, Refusal> {
        let row = self.store.read(move |read| read.app_fetch(app).or_none().map_err(Refusal::from)).await?;
        Ok(row.is_some_and(|app| !app.deleted))
    }
}

/// What an account may do to an app at most.
fn permission_of(app: &App, actor: AccountId) -> Option<Permission> {
    (app.owner == actor).then_some(Permission::Manage)
}

/// The app's row inside a transaction: what the caller saw before may have been destroyed since.
pub(super) fn app_row(read: &Read<'_>, app: AppId) -> Result<App, Refusal> {
    let row = read.app_fetch(app).or_none()?.filter(|app| !app.deleted);
    row.ok_or_else(|| Refusal::not_found("app"))
}
