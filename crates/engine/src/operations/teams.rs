//! Teams: made, renamed, dissolved.

use jiff::Timestamp;
use renga_model::{
    Account, AccountId, App, Permissions, Refusal, TEAM_DOMAIN, Team, TeamId, TeamMember, TeamMemberId,
    TeamName, TeamRole, limits,
};
use renga_store::{OrNone, Read, Tx};

use super::access::role_in;
use crate::Engine;

/// A team as one of its people sees it.
#[derive(Debug, Clone)]
pub struct TeamView {
    pub team: Team,
    pub role: TeamRole,
    /// Whether his new apps go there if he names no team.
    pub default: bool,
}

/// What teams here can do that not all of Heroku's can. Command lines ask for it by name.
#[derive(Debug, Clone, Copy)]
pub struct TeamFeature {
    pub name: &'static str,
    pub display_name: &'static str,
    pub description: &'static str,
    pub enabled: bool,
}

pub const TEAM_FEATURES: [TeamFeature; 2] = [
    TeamFeature {
        name: "org-access-controls",
        display_name: "Permissions on apps",
        description: "Whoever is added to an app of the team is given permissions on it: view, deploy, operate, manage.",
        enabled: true,
    },
    TeamFeature {
        name: "team-invite-acceptance",
        display_name: "Invitations to teams",
        description: "New members have to accept an invitation. Here admins add members at once; who wants to be asked is invited through the API.",
        enabled: false,
    },
];

/// An app of a team, and who may do what to it.
#[derive(Debug, Clone)]
pub struct PermissionEntity {
    pub app: App,
    pub users: Vec<(Account, Permissions)>,
}

impl Engine {
    /// Whoever makes a team is its first admin.
    pub async fn team_create(&self, actor: AccountId, name: TeamName) -> Result<TeamView, Refusal> {
        let now = self.now();
        let (team, account) = draft(name, now);
        let create = self.store.write(move |tx| -> Result<TeamView, Refusal> {
            refuse_taken(tx, &team.name)?;
            let ruled =
                tx.team_member_list_of(actor)?.iter().filter(|row| row.role == TeamRole::Admin).count();
            if ruled >= limits::TEAMS_PER_ACCOUNT_MAX {
                let most = limits::TEAMS_PER_ACCOUNT_MAX;
                return Err(Refusal::invalid(format!(
                    "You are an admin of {most} teams already, which is the limit."
                )));
            }
            tx.team_insert(&team, &account)?;
            tx.team_member_insert(&TeamMember {
                id: TeamMemberId::random(),
                team: team.id,
                account: actor,
                role: TeamRole::Admin,
                default: false,
                created_at: now,
                updated_at: now,
            })?;
            view(tx, team, actor)
        });
        create.await
    }

    /// Those that the account has something to do with, by name.
    pub async fn team_list(&self, actor: AccountId) -> Result<Vec<TeamView>, Refusal> {
        let list = self.store.read(move |read| -> Result<Vec<TeamView>, Refusal> {
            read.team_list_for(actor)?.into_iter().map(|team| view(read, team, actor)).collect()
        });
        list.await
    }

    pub async fn team_view(&self, team: Team, actor: AccountId) -> Result<TeamView, Refusal> {
        self.store.read(move |read| view(read, team, actor)).await
    }

    /// The team that the account's new apps go to if it names none.
    pub async fn team_default(&self, actor: AccountId) -> Result<Option<Team>, Refusal> {
        let find = self.store.read(move |read| -> Result<Option<Team>, Refusal> {
            let rows = read.team_member_list_of(actor)?;
            Ok(rows.iter().find(|row| row.default).map(|row| read.team_fetch(row.team)).transpose()?)
        });
        find.await
    }

    pub async fn team_rename(
        &self,
        actor: AccountId,
        team: TeamId,
        name: TeamName,
    ) -> Result<TeamView, Refusal> {
        let now = self.now();
        let rename = self.store.write(move |tx| -> Result<TeamView, Refusal> {
            let mut team = team_row(tx, team)?;
            if team.name != name {
                refuse_taken(tx, &name)?;
                (team.name, team.updated_at) = (name, now);
                tx.team_rename(&team, &address(team.name.as_str()))?;
            }
            view(tx, team, actor)
        });
        rename.await
    }

    /// Whether the actor's new apps go to this team.
    pub async fn team_set_default(
        &self,
        actor: AccountId,
        team: TeamId,
        on: bool,
    ) -> Result<TeamView, Refusal> {
        let now = self.now();
        let set = self.store.write(move |tx| -> Result<TeamView, Refusal> {
            let team = team_row(tx, team)?;
            let row = tx.team_member_find(team.id, actor)?.filter(|row| row.role.makes_apps());
            let Some(mut row) = row else {
                return Err(Refusal::invalid("default: you can't make apps in this team."));
            };
            (row.default, row.updated_at) = (on, now);
            tx.team_member_update(&row)?;
            view(tx, team, actor)
        });
        set.await
    }

    /// Only without apps, so that none is lost by accident.
    pub async fn team_delete(&self, actor: AccountId, team: TeamId) -> Result<TeamView, Refusal> {
        let delete = self.store.write(move |tx| -> Result<TeamView, Refusal> {
            let team = team_row(tx, team)?;
            let apps = tx.app_list_for_owner(team.account)?.len();
            if apps > 0 {
                return Err(Refusal::invalid(format!(
                    "Team {} has {apps} apps. Transfer or destroy them first, then delete the team.",
                    team.name
                )));
            }
            let gone = view(tx, team.clone(), actor)?;
            tx.team_delete(&team, &address(&format!("deleted-{}", team.id)))?;
            Ok(gone)
        });
        delete.await
    }

    /// Who may do what to which app of the team: admins, and those who were added.
    pub async fn team_permissions(&self, team: Team) -> Result<Vec<PermissionEntity>, Refusal> {
        let list = self.store.read(move |read| -> Result<Vec<PermissionEntity>, Refusal> {
            let members = read.team_member_list(team.id)?;
            let admins: Vec<_> = members.iter().filter(|row| row.role == TeamRole::Admin).collect();
            let mut all = Vec::new();
            for app in read.app_list_for_owner(team.account)? {
                let mut users = Vec::new();
                for admin in &admins {
                    users.push((read.account_fetch(admin.account)?, Permissions::ALL));
                }
                let rows = read.collaborator_list(app.id)?;
                for row in rows.iter().filter(|row| admins.iter().all(|admin| admin.account != row.account)) {
                    users.push((read.account_fetch(row.account)?, row.permissions));
                }
                all.push(PermissionEntity { app, users });
            }
            Ok(all)
        });
        list.await
    }
}

fn draft(name: TeamName, now: Timestamp) -> (Team, Account) {
    let email = address(name.as_str());
    let account = Account::new(AccountId::random(), email, now);
    let team = Team { id: TeamId::random(), name, account: account.id, created_at: now, updated_at: now };
    (team, account)
}

fn address(name: &str) -> String {
    format!("{name}@{TEAM_DOMAIN}")
}

fn refuse_taken(tx: &Tx<'_>, name: &TeamName) -> Result<(), Refusal> {
    match tx.team_find(name)? {
        Some(_) => Err(Refusal::invalid(format!("Name {name} is already taken"))),
        None => Ok(()),
    }
}

/// The team's row inside a transaction: what the caller saw before may have been dissolved since.
pub(super) fn team_row(read: &Read<'_>, team: TeamId) -> Result<Team, Refusal> {
    read.team_fetch(team).or_none()?.ok_or_else(|| Refusal::not_found("team"))
}

fn view(read: &Read<'_>, team: Team, actor: AccountId) -> Result<TeamView, Refusal> {
    let role = role_in(read, &team, actor)?.ok_or_else(|| Refusal::not_found("team"))?;
    let default = read.team_member_find(team.id, actor)?.is_some_and(|row| row.default);
    Ok(TeamView { team, role, default })
}
