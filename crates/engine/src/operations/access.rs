//! Who may do what to which app, and to which team. The only place that knows.

use renga_model::{
    Account, AccountId, App, AppId, AppName, Email, Permission, Permissions, Refusal, Team, TeamId, TeamName,
    TeamRole,
};
use renga_store::{OrNone, Read, StoreError};

use crate::Engine;

impl Engine {
    /// The app that `identity` (a name or an id) means, if `actor` may do this to it. An app that he may not know of
    /// is not found.
    pub async fn app_for(
        &self,
        actor: AccountId,
        identity: &str,
        permission: Permission,
    ) -> Result<App, Refusal> {
        let not_found = || Refusal::not_found("app");
        let id: Option<AppId> = identity.parse().ok();
        let name: Option<AppName> = identity.parse().ok();
        let find = self.store.read(move |read| -> Result<Option<(App, Permissions)>, Refusal> {
            let app = match (id, name) {
                (Some(id), _) => read.app_fetch(id).or_none()?.filter(|app| !app.deleted),
                (None, Some(name)) => read.app_find(&name)?,
                (None, None) => None,
            };
            let Some(app) = app else { return Ok(None) };
            let permissions = permissions_of(read, &app, actor)?;
            Ok(Some((app, permissions)))
        });
        let (app, permissions) = find.await?.ok_or_else(not_found)?;
        match permissions {
            Permissions::NONE => Err(not_found()),
            enough if enough.contains(permission) => Ok(app),
            _ => Err(Refusal::forbidden("You do not have permission to do this to the app.")),
        }
    }

    /// Whether the app is still there, for those who were let in before.
    pub async fn app_stands(&self, app: AppId) -> Result<bool, Refusal> {
        let row = self.store.read(move |read| read.app_fetch(app).or_none().map_err(Refusal::from)).await?;
        Ok(row.is_some_and(|app| !app.deleted))
    }
}

/// What an account may do to an app.
pub(super) fn permissions_of(
    read: &Read<'_>,
    app: &App,
    actor: AccountId,
) -> Result<Permissions, StoreError> {
    if app.owner == actor {
        return Ok(Permissions::ALL);
    }
    let given = read.collaborator_find(app.id, actor)?.map(|row| row.permissions).unwrap_or_default();
    Ok(given.and(permissions_by_team(read, app, actor)?))
}

/// What the team's members may do to its apps without having been added to them.
fn permissions_by_team(read: &Read<'_>, app: &App, actor: AccountId) -> Result<Permissions, StoreError> {
    let Some(team) = read.team_of_owner(app.owner)? else { return Ok(Permissions::NONE) };
    let Some(member) = read.team_member_find(team.id, actor)? else { return Ok(Permissions::NONE) };
    Ok(permissions_in(member.role, app.locked))
}

/// What a member may do to an app of his team to which nobody added him.
pub(super) fn permissions_in(role: TeamRole, locked: bool) -> Permissions {
    match (role, locked) {
        (TeamRole::Admin, _) => Permissions::ALL,
        (TeamRole::Member | TeamRole::Viewer, false) => Permissions::VIEW,
        (TeamRole::Member | TeamRole::Viewer, true) => Permissions::KNOW,
        (TeamRole::Collaborator, _) => Permissions::NONE,
    }
}

/// What somebody may do to a team.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TeamRight {
    /// Know that it is there: everybody who works on one of its apps.
    Know,
    /// See its members and apps.
    See,
    /// Make apps in it.
    MakeApps,
    /// Change it, its members and who has access to its apps.
    Rule,
}

impl TeamRight {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Know => "know",
            Self::See => "see",
            Self::MakeApps => "make-apps",
            Self::Rule => "rule",
        }
    }

    fn given_to(self, role: TeamRole) -> bool {
        match self {
            Self::Know => true,
            Self::See => role.is_inside(),
            Self::MakeApps => role.makes_apps(),
            Self::Rule => role == TeamRole::Admin,
        }
    }
}

impl Engine {
    /// The team that `identity` (a name or an id) means, and what `actor` is in it, if that gives him this right. A
    /// team that he has nothing to do with is not found.
    pub async fn team_for(
        &self,
        actor: AccountId,
        identity: &str,
        right: TeamRight,
    ) -> Result<(Team, TeamRole), Refusal> {
        let not_found = || Refusal::not_found("team");
        let id: Option<TeamId> = identity.parse().ok();
        let name: Option<TeamName> = identity.parse().ok();
        let find = self.store.read(move |read| -> Result<_, Refusal> {
            let team = match (id, name) {
                (Some(id), _) => read.team_fetch(id).or_none()?,
                (None, Some(name)) => read.team_find(&name)?,
                (None, None) => None,
            };
            let Some(team) = team else { return Ok(None) };
            let role = role_in(read, &team, actor)?;
            Ok(role.map(|role| (team, role)))
        });
        let (team, role) = find.await?.ok_or_else(not_found)?;
        match right.given_to(role) {
            true => Ok((team, role)),
            false => Err(Refusal::forbidden("You do not have permission to do this to the team.")),
        }
    }
}

/// What an account is in a team: a member, or somebody who was added to one of its apps.
pub(super) fn role_in(
    read: &Read<'_>,
    team: &Team,
    account: AccountId,
) -> Result<Option<TeamRole>, StoreError> {
    if let Some(member) = read.team_member_find(team.id, account)? {
        return Ok(Some(member.role));
    }
    let works = !read.app_list_of_owner_for_collaborator(team.account, account)?.is_empty();
    Ok(works.then_some(TeamRole::Collaborator))
}

/// The app's row inside a transaction: what the caller saw before may have been destroyed since.
pub(super) fn app_row(read: &Read<'_>, app: AppId) -> Result<App, Refusal> {
    let row = read.app_fetch(app).or_none()?.filter(|app| !app.deleted);
    row.ok_or_else(|| Refusal::not_found("app"))
}

impl Engine {
    /// Somebody who has an account.
    pub async fn person(&self, person: Person) -> Result<Account, Refusal> {
        let found = self.store.read(move |read| person.find(read).map_err(Refusal::from)).await?;
        found.ok_or_else(|| Refusal::not_found("user"))
    }
}

/// Somebody, as requests name him.
#[derive(Debug, Clone)]
pub enum Person {
    Id(AccountId),
    Email(Email),
}

impl Person {
    /// An e-mail address, an account's id, or `~` for `oneself`.
    pub fn parse(text: &str, oneself: &Account) -> Result<Self, Refusal> {
        if text == "~" {
            return Ok(Self::Id(oneself.id));
        }
        match text.parse() {
            Ok(id) => Ok(Self::Id(id)),
            Err(_) => Ok(Self::Email(Email::try_from(text.to_owned())?)),
        }
    }

    pub(super) fn find(&self, read: &Read<'_>) -> Result<Option<Account>, StoreError> {
        match self {
            Self::Id(id) => Ok(read.account_fetch(*id).or_none()?.filter(|account| !account.is_team())),
            Self::Email(email) => read.account_find_by_email(email.as_str()),
        }
    }
}
