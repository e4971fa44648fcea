//! Apps of teams: listed, locked, joined, and given to another owner.

use std::collections::HashMap;

use jiff::Timestamp;
use renga_model::{
    AccountId, App, AppId, Collaborator, CollaboratorId, Permission, Permissions, Refusal, Team, TeamRole,
};
use renga_store::{Read, Tx};

use super::{
    access::{Person, app_row, permissions_in, permissions_of},
    apps::{AppView, owner_of},
    transfers::change_owner,
};
use crate::{Engine, Settings};

/// An app as a member of its team sees it.
#[derive(Debug, Clone)]
pub struct TeamAppView {
    pub view: AppView,
    /// Whether he was added to it.
    pub joined: bool,
}

/// Who an app is given to.
#[derive(Debug, Clone)]
pub enum AppTaker {
    Team(Team),
    Person(Person),
}

impl Engine {
    pub async fn team_app_view(&self, actor: AccountId, app: App) -> Result<TeamAppView, Refusal> {
        self.store.read(move |read| view(read, app, actor)).await
    }

    /// The team's apps that the account knows of, by name.
    pub async fn team_app_list(&self, actor: AccountId, team: Team) -> Result<Vec<TeamAppView>, Refusal> {
        let list = self.store.read(move |read| -> Result<Vec<TeamAppView>, Refusal> {
            let owner = read.account_fetch(team.account)?;
            let member = read.team_member_find(team.id, actor)?;
            let added = read.collaborator_list_of(actor)?.into_iter();
            let added: HashMap<AppId, Permissions> = added.map(|row| (row.app, row.permissions)).collect();
            let mut all = Vec::new();
            for app in read.app_list_for_owner(team.account)? {
                let by_role =
                    member.as_ref().map(|row| permissions_in(row.role, app.locked)).unwrap_or_default();
                let given = added.get(&app.id).copied();
                if given.unwrap_or_default().and(by_role).contains(Permission::Know) {
                    let view = AppView { app, owner: owner.clone(), team: Some(team.clone()) };
                    all.push(TeamAppView { view, joined: given.is_some() });
                }
            }
            Ok(all)
        });
        list.await
    }

    pub async fn app_lock(&self, app: AppId, locked: bool) -> Result<App, Refusal> {
        let now = self.now();
        let lock = self.store.write(move |tx| -> Result<App, Refusal> {
            let mut row = app_row(tx, app)?;
            if tx.team_of_owner(row.owner)?.is_none() {
                return Err(Refusal::invalid(format!(
                    "App {} belongs to no team: only a team's apps can be locked.",
                    row.name
                )));
            }
            (row.locked, row.updated_at) = (locked, now);
            tx.app_update(&row)?;
            Ok(row)
        });
        lock.await
    }

    /// A member adds himself to an app of his team.
    pub async fn app_join(&self, actor: AccountId, app: AppId) -> Result<(), Refusal> {
        let now = self.now();
        let join = self.store.write(move |tx| -> Result<(), Refusal> {
            let app = app_row(tx, app)?;
            let team = tx.team_of_owner(app.owner)?;
            let member = team.map(|team| tx.team_member_find(team.id, actor)).transpose()?.flatten();
            if !member.is_some_and(|member| member.role.makes_apps()) {
                return Err(Refusal::forbidden("Only members of the app's team can join it."));
            }
            if tx.collaborator_find(app.id, actor)?.is_some() {
                return Err(Refusal::invalid(format!("You are already a collaborator on app {}.", app.name)));
            }
            if app.locked && !permissions_of(tx, &app, actor)?.contains(Permission::Manage) {
                return Err(Refusal::forbidden(format!(
                    "App {} is locked. Ask an admin of the team to add you to it.",
                    app.name
                )));
            }
            Ok(tx.collaborator_insert(&collaborator(app.id, actor, Permissions::COLLABORATOR, now))?)
        });
        join.await
    }

    /// Gives the app to a team that the actor makes apps in, or a team's app to one of its people.
    pub async fn app_give(&self, actor: AccountId, app: AppId, taker: AppTaker) -> Result<App, Refusal> {
        let (now, settings) = (self.now(), self.settings.clone());
        let give = self.store.write(move |tx| -> Result<App, Refusal> {
            let app = app_row(tx, app)?;
            match taker {
                AppTaker::Team(team) => give_to_team(tx, &settings, app, &team, actor, now),
                AppTaker::Person(person) => give_to_person(tx, &settings, app, &person, now),
            }
        });
        give.await
    }
}

/// Whoever had the app keeps all permissions on it; collaborators stay what they are.
fn give_to_team(
    tx: &Tx<'_>,
    settings: &Settings,
    app: App,
    team: &Team,
    actor: AccountId,
    now: Timestamp,
) -> Result<App, Refusal> {
    if app.owner == team.account {
        return Err(Refusal::invalid(format!("App {} belongs to team {} already.", app.name, team.name)));
    }
    let row = tx.team_member_find(team.id, actor)?;
    if !row.is_some_and(|row| row.role.makes_apps()) {
        return Err(Refusal::forbidden("Only members of a team can transfer apps to it."));
    }
    let was_personal = tx.team_of_owner(app.owner)?.is_none();
    let former = app.owner;
    if let Some(pending) = tx.app_transfer_pending(app.id)? {
        tx.app_transfer_delete(pending.id)?;
    }
    let app = change_owner(tx, settings, app, team.account, now)?;
    if was_personal {
        tx.collaborator_insert(&collaborator(app.id, former, Permissions::ALL, now))?;
    }
    Ok(app)
}

/// Nobody is given an app who has nothing to do with it; its collaborators, whom the team let in, go.
fn give_to_person(
    tx: &Tx<'_>,
    settings: &Settings,
    mut app: App,
    person: &Person,
    now: Timestamp,
) -> Result<App, Refusal> {
    let Some(team) = tx.team_of_owner(app.owner)? else {
        return Err(Refusal::invalid(format!(
            "App {} belongs to no team. Offer it to its new owner: POST /account/app-transfers.",
            app.name
        )));
    };
    let account = person.find(tx)?.ok_or_else(|| Refusal::not_found("user"))?;
    let inside =
        tx.team_member_find(team.id, account.id)?.is_some_and(|row| row.role != TeamRole::Collaborator);
    if !inside && tx.collaborator_find(app.id, account.id)?.is_none() {
        return Err(Refusal::invalid(format!(
            "owner: {} is neither a member of team {} nor a collaborator on app {}.",
            account.email, team.name, app.name
        )));
    }
    tx.collaborators_delete(app.id)?;
    app.locked = false;
    change_owner(tx, settings, app, account.id, now)
}

pub(super) fn collaborator(
    app: AppId,
    account: AccountId,
    permissions: Permissions,
    now: Timestamp,
) -> Collaborator {
    Collaborator { id: CollaboratorId::random(), app, account, permissions, created_at: now, updated_at: now }
}

fn view(read: &Read<'_>, app: App, actor: AccountId) -> Result<TeamAppView, Refusal> {
    let joined = app.owner == actor || read.collaborator_find(app.id, actor)?.is_some();
    let (owner, team) = owner_of(read, &app)?;
    Ok(TeamAppView { view: AppView { app, owner, team }, joined })
}
