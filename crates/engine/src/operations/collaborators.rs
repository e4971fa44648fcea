//! Collaborators: accounts that may do something to an app of somebody else.

use renga_model::{Account, AccountId, App, AppId, Collaborator, Permissions, Refusal, TeamRole, limits};
use renga_store::{Read, Tx};

use super::{
    access::{app_row, role_in},
    team_apps::collaborator,
};
use crate::Engine;

/// Somebody with access to an app.
#[derive(Debug, Clone)]
pub struct Accessor {
    pub account: Account,
    pub role: AccessRole,
    pub permissions: Permissions,
    /// None for the owner.
    pub row: Option<Collaborator>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessRole {
    Owner,
    /// What he is in the team that owns the app; a collaborator, if none does.
    Other(TeamRole),
}

impl Engine {
    /// The owner first, then collaborators as they came.
    pub async fn collaborator_list(&self, app: &App) -> Result<Vec<Accessor>, Refusal> {
        let app = app.id;
        self.store.read(move |read| accessors(read, &app_row(read, app)?)).await
    }

    pub async fn collaborator_add(
        &self,
        app: AppId,
        account: AccountId,
        permissions: Permissions,
    ) -> Result<Accessor, Refusal> {
        let now = self.now();
        let add = self.store.write(move |tx| -> Result<Accessor, Refusal> {
            let app = app_row(tx, app)?;
            let account = tx.account_fetch(account)?;
            let row = collaborator(app.id, account.id, permissions, now);
            insert(tx, &app, &account, &row)?;
            accessor(tx, &app, row)
        });
        add.await
    }

    /// Takes a collaborator's access away; he is told to be gone as he was.
    pub async fn collaborator_remove(&self, app: AppId, account: AccountId) -> Result<Accessor, Refusal> {
        let remove = self.store.write(move |tx| -> Result<Accessor, Refusal> {
            let app = app_row(tx, app)?;
            if app.owner == account {
                return Err(Refusal::invalid(
                    "The owner of an app can't be removed from it. Transfer the app to somebody else first.",
                ));
            }
            let row = tx.collaborator_find(app.id, account)?;
            let gone = accessor(tx, &app, row.ok_or_else(|| Refusal::not_found("collaborator"))?)?;
            tx.collaborator_delete(app.id, account)?;
            Ok(gone)
        });
        remove.await
    }
}

impl Engine {
    /// Of a team's app: those of a personal app have all that there is to give.
    pub async fn collaborator_set(
        &self,
        app: AppId,
        account: AccountId,
        permissions: Permissions,
    ) -> Result<Accessor, Refusal> {
        let now = self.now();
        let set = self.store.write(move |tx| -> Result<Accessor, Refusal> {
            let app = app_row(tx, app)?;
            refuse_personal(tx, &app)?;
            tx.collaborator_set(app.id, account, permissions, now)?;
            let row = tx.collaborator_find(app.id, account)?;
            accessor(tx, &app, row.ok_or_else(|| Refusal::not_found("collaborator"))?)
        });
        set.await
    }

    pub async fn app_refuse_personal(&self, app: App) -> Result<(), Refusal> {
        self.store.read(move |read| refuse_personal(read, &app)).await
    }
}

/// Permissions can be chosen where a team decides.
fn refuse_personal(read: &Read<'_>, app: &App) -> Result<(), Refusal> {
    match read.team_of_owner(app.owner)? {
        Some(_) => Ok(()),
        None => Err(Refusal::invalid(format!(
            "permissions: app {} belongs to no team, and collaborators of a personal app have deploy, operate and view.",
            app.name
        ))),
    }
}

fn insert(tx: &Tx<'_>, app: &App, account: &Account, row: &Collaborator) -> Result<(), Refusal> {
    let known = tx.collaborator_list(app.id)?;
    if app.owner == account.id || known.iter().any(|one| one.account == account.id) {
        return Err(Refusal::invalid(format!(
            "{} is already a collaborator on app {}.",
            account.email, app.name
        )));
    }
    if known.len() >= limits::COLLABORATORS_PER_APP_MAX {
        return Err(Refusal::invalid(format!(
            "An app may have at most {} collaborators. Remove some of them first.",
            limits::COLLABORATORS_PER_APP_MAX
        )));
    }
    Ok(tx.collaborator_insert(row)?)
}

fn accessors(read: &Read<'_>, app: &App) -> Result<Vec<Accessor>, Refusal> {
    let owner = Accessor {
        account: read.account_fetch(app.owner)?,
        role: AccessRole::Owner,
        permissions: Permissions::ALL,
        row: None,
    };
    let mut all = vec![owner];
    for row in read.collaborator_list(app.id)? {
        all.push(accessor(read, app, row)?);
    }
    Ok(all)
}

fn accessor(read: &Read<'_>, app: &App, row: Collaborator) -> Result<Accessor, Refusal> {
    let account = read.account_fetch(row.account)?;
    let team = read.team_of_owner(app.owner)?;
    let role = team.map(|team| role_in(read, &team, account.id)).transpose()?.flatten();
    let role = role.unwrap_or(TeamRole::Collaborator);
    let permissions = if role == TeamRole::Admin { Permissions::ALL } else { row.permissions };
    Ok(Accessor { account, role: AccessRole::Other(role), permissions, row: Some(row) })
}
