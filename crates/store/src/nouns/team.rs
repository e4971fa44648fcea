//! Teams, their members, and those who are invited to become some.

use jiff::Timestamp;
use renga_model::{
    Account, AccountId, App, Team, TeamId, TeamInvitation, TeamInvitationId, TeamMember, TeamName, TeamRole,
};
use rusqlite::params;

use super::app::app;
use crate::{
    Read, StoreError, Tx, ValueHash,
    row::{Cells, bytes, micros},
};

impl Read<'_> {
    pub fn team_fetch(&self, id: TeamId) -> Result<Team, StoreError> {
        self.first("fetch a team", "SELECT * FROM team WHERE id = ?1", [bytes(id)], team)?
            .ok_or(StoreError::not_found("team"))
    }

    pub fn team_find(&self, name: &TeamName) -> Result<Option<Team>, StoreError> {
        self.first("find a team", "SELECT * FROM team WHERE name = ?1", [name.as_str()], team)
    }

    /// The team whose apps belong to this account, if it is a team's.
    pub fn team_of_owner(&self, account: AccountId) -> Result<Option<Team>, StoreError> {
        self.first("find a team", "SELECT * FROM team WHERE account = ?1", [bytes(account)], team)
    }

    /// Those that the account is a member of, or collaborates on an app of, by name.
    pub fn team_list_for(&self, account: AccountId) -> Result<Vec<Team>, StoreError> {
        let sql = "SELECT * FROM team WHERE id IN (SELECT team FROM team_member WHERE account = ?1)
             OR account IN (SELECT app.owner FROM app JOIN collaborator ON collaborator.app = app.id
                WHERE collaborator.account = ?1 AND app.deleted = 0)
             ORDER BY name";
        self.all("list teams", sql, [bytes(account)], team)
    }

    pub fn team_member_find(
        &self,
        team: TeamId,
        account: AccountId,
    ) -> Result<Option<TeamMember>, StoreError> {
        let sql = "SELECT * FROM team_member WHERE team = ?1 AND account = ?2";
        self.first("find a member", sql, params![bytes(team), bytes(account)], member)
    }

    /// Oldest first.
    pub fn team_member_list(&self, team: TeamId) -> Result<Vec<TeamMember>, StoreError> {
        let sql = "SELECT * FROM team_member WHERE team = ?1 ORDER BY created_at, rowid";
        self.all("list members", sql, [bytes(team)], member)
    }

    pub fn team_member_list_of(&self, account: AccountId) -> Result<Vec<TeamMember>, StoreError> {
        let sql = "SELECT * FROM team_member WHERE account = ?1 ORDER BY created_at, rowid";
        self.all("list memberships", sql, [bytes(account)], member)
    }

    /// Apps of this owner that the account was added to, by name.
    pub fn app_list_of_owner_for_collaborator(
        &self,
        owner: AccountId,
        account: AccountId,
    ) -> Result<Vec<App>, StoreError> {
        let sql = "SELECT app.* FROM app JOIN collaborator ON collaborator.app = app.id
             WHERE app.owner = ?1 AND collaborator.account = ?2 AND app.deleted = 0 ORDER BY app.name";
        self.all("list a collaborator's apps", sql, params![bytes(owner), bytes(account)], app)
    }

    /// Accounts that were added to an app of this owner, with the time when that was first.
    pub fn collaborators_of_owner(
        &self,
        owner: AccountId,
    ) -> Result<Vec<(AccountId, Timestamp)>, StoreError> {
        let sql = "SELECT collaborator.account, min(collaborator.created_at) AS since FROM collaborator
             JOIN app ON app.id = collaborator.app WHERE app.owner = ?1 AND app.deleted = 0
             GROUP BY collaborator.account ORDER BY since, collaborator.account";
        self.all("list a team's collaborators", sql, [bytes(owner)], |c| {
            Ok((c.id("account")?, c.time("since")?))
        })
    }

    // === invitations ===

    /// Oldest first.
    pub fn team_invitation_list(&self, team: TeamId) -> Result<Vec<TeamInvitation>, StoreError> {
        let sql = "SELECT * FROM team_invitation WHERE team = ?1 ORDER BY created_at, rowid";
        self.all("list invitations", sql, [bytes(team)], invitation)
    }

    pub fn team_invitation_find(&self, hash: &ValueHash) -> Result<Option<TeamInvitation>, StoreError> {
        let sql = "SELECT * FROM team_invitation WHERE hash = ?1";
        self.first("find an invitation", sql, [hash.bytes()], invitation)
    }
}

impl Tx<'_> {
    /// The team, and the account that its apps belong to.
    pub fn team_insert(&self, team: &Team, account: &Account) -> Result<(), StoreError> {
        self.account_insert(account, None)?;
        self.change(
            "insert a team",
            "INSERT INTO team (id, name, account, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                bytes(team.id),
                team.name.as_str(),
                bytes(team.account),
                micros(team.created_at),
                micros(team.updated_at)
            ],
        )
        .map(drop)
    }

    /// Also the address of its account.
    pub fn team_rename(&self, team: &Team, email: &str) -> Result<(), StoreError> {
        let sql = "UPDATE team SET name = ?2, updated_at = ?3 WHERE id = ?1";
        let cells = params![bytes(team.id), team.name.as_str(), micros(team.updated_at)];
        self.change_one("rename a team", "team", sql, cells)?;
        let sql = "UPDATE account SET email = ?2, updated_at = ?3 WHERE id = ?1";
        let cells = params![bytes(team.account), email, micros(team.updated_at)];
        self.change_one("rename a team", "team", sql, cells)
    }

    /// Its account goes too, unless apps that are being taken apart still belong to it; then it keeps `stays_as`.
    pub fn team_delete(&self, team: &Team, stays_as: &str) -> Result<(), StoreError> {
        self.change_one("delete a team", "team", "DELETE FROM team WHERE id = ?1", [bytes(team.id)])?;
        let sql = "DELETE FROM account WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM app WHERE owner = ?1)";
        if self.change("delete a team's account", sql, [bytes(team.account)])? == 0 {
            let sql = "UPDATE account SET email = ?2 WHERE id = ?1";
            self.change("free a team's address", sql, params![bytes(team.account), stays_as])?;
        }
        Ok(())
    }

    pub fn team_member_insert(&self, row: &TeamMember) -> Result<(), StoreError> {
        self.change(
            "insert a member",
            "INSERT INTO team_member (id, team, account, role, is_default, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                bytes(row.id),
                bytes(row.team),
                bytes(row.account),
                row.role.as_str(),
                row.default,
                micros(row.created_at),
                micros(row.updated_at)
            ],
        )
        .map(drop)
    }

    /// Writes role and default.
    pub fn team_member_update(&self, row: &TeamMember) -> Result<(), StoreError> {
        if row.default {
            let sql = "UPDATE team_member SET is_default = 0 WHERE account = ?1 AND id <> ?2";
            self.change("change a member", sql, params![bytes(row.account), bytes(row.id)])?;
        }
        let sql = "UPDATE team_member SET role = ?2, is_default = ?3, updated_at = ?4 WHERE id = ?1";
        let cells = params![bytes(row.id), row.role.as_str(), row.default, micros(row.updated_at)];
        self.change_one("change a member", "team_member", sql, cells)
    }

    /// With what he had on the team's apps.
    pub fn team_member_delete(&self, team: &Team, account: AccountId) -> Result<(), StoreError> {
        let sql = "DELETE FROM team_member WHERE team = ?1 AND account = ?2";
        self.change("delete a member", sql, params![bytes(team.id), bytes(account)])?;
        let sql =
            "DELETE FROM collaborator WHERE account = ?2 AND app IN (SELECT id FROM app WHERE owner = ?1)";
        self.change("delete a member", sql, params![bytes(team.account), bytes(account)]).map(drop)
    }

    // === invitations ===

    /// In the place of an earlier one of the same account.
    pub fn team_invitation_insert(&self, row: &TeamInvitation, hash: &ValueHash) -> Result<(), StoreError> {
        let sql = "DELETE FROM team_invitation WHERE team = ?1 AND account = ?2";
        self.change("replace an invitation", sql, params![bytes(row.team), bytes(row.account)])?;
        self.change(
            "insert an invitation",
            "INSERT INTO team_invitation (id, team, account, role, invited_by, hash, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                bytes(row.id),
                bytes(row.team),
                bytes(row.account),
                row.role.as_str(),
                bytes(row.invited_by),
                hash.bytes(),
                micros(row.created_at),
                micros(row.updated_at)
            ],
        )
        .map(drop)
    }

    /// Whether there was one.
    pub fn team_invitation_delete(&self, id: TeamInvitationId) -> Result<bool, StoreError> {
        Ok(self.change("delete an invitation", "DELETE FROM team_invitation WHERE id = ?1", [bytes(id)])? > 0)
    }
}

fn team(c: &Cells<'_>) -> Result<Team, StoreError> {
    Ok(Team {
        id: c.id("id")?,
        name: c.name("name")?,
        account: c.id("account")?,
        created_at: c.time("created_at")?,
        updated_at: c.time("updated_at")?,
    })
}

fn member(c: &Cells<'_>) -> Result<TeamMember, StoreError> {
    Ok(TeamMember {
        id: c.id("id")?,
        team: c.id("team")?,
        account: c.id("account")?,
        role: c.state("role", TeamRole::parse)?,
        default: c.get("is_default")?,
        created_at: c.time("created_at")?,
        updated_at: c.time("updated_at")?,
    })
}

fn invitation(c: &Cells<'_>) -> Result<TeamInvitation, StoreError> {
    Ok(TeamInvitation {
        id: c.id("id")?,
        team: c.id("team")?,
        account: c.id("account")?,
        role: c.state("role", TeamRole::parse)?,
        invited_by: c.id("invited_by")?,
        created_at: c.time("created_at")?,
        updated_at: c.time("updated_at")?,
    })
}
