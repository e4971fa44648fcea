//! Members of teams. Those who only work on some app of the team are listed too, as its collaborators.

use jiff::Timestamp;
use renga_model::{Account, AccountId, Refusal, Team, TeamId, TeamMember, TeamMemberId, TeamRole, limits};
use renga_store::{Read, Tx};

use super::teams::team_row;
use crate::Engine;

/// Somebody who has to do with a team.
#[derive(Debug, Clone)]
pub struct MemberView {
    pub account: Account,
    pub role: TeamRole,
    /// None for one who was only added to apps.
    pub row: Option<TeamMember>,
    pub since: Timestamp,
}

impl Engine {
    /// Members, then collaborators; of each kind the oldest first.
    pub async fn team_member_list(&self, team: Team) -> Result<Vec<MemberView>, Refusal> {
        let list = self.store.read(move |read| -> Result<Vec<MemberView>, Refusal> {
            let mut all = Vec::new();
            for row in read.team_member_list(team.id)? {
                all.push(member(read, row)?);
            }
            for (account, since) in read.collaborators_of_owner(team.account)? {
                if all.iter().all(|one| one.account.id != account) {
                    let account = read.account_fetch(account)?;
                    all.push(MemberView { account, role: TeamRole::Collaborator, row: None, since });
                }
            }
            Ok(all)
        });
        list.await
    }

    /// Makes somebody a member, or gives a member another role.
    pub async fn team_member_put(
        &self,
        team: TeamId,
        account: AccountId,
        role: TeamRole,
        which: MemberPut,
    ) -> Result<MemberView, Refusal> {
        let now = self.now();
        let put = self.store.write(move |tx| -> Result<MemberView, Refusal> {
            let team = team_row(tx, team)?;
            let account = tx.account_fetch(account)?;
            match tx.team_member_find(team.id, account.id)? {
                Some(_) if which == MemberPut::New => Err(Refusal::invalid(format!(
                    "{} is already a member of team {}.",
                    account.email, team.name
                ))),
                Some(row) => change(tx, &team, row, role, now),
                None if which == MemberPut::Known => Err(Refusal::not_found("team_member")),
                None => member(tx, add(tx, &team, account.id, role, now)?),
            }
        });
        put.await
    }

    /// Takes away also what he was given on the team's apps.
    pub async fn team_member_remove(&self, team: TeamId, account: AccountId) -> Result<(), Refusal> {
        let remove = self.store.write(move |tx| -> Result<(), Refusal> {
            let team = team_row(tx, team)?;
            refuse_last_admin(tx, &team, account, None)?;
            Ok(tx.team_member_delete(&team, account)?)
        });
        remove.await
    }
}

/// Whether the member has to be new, or to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberPut {
    New,
    Known,
    Either,
}

pub(super) fn add(
    tx: &Tx<'_>,
    team: &Team,
    account: AccountId,
    role: TeamRole,
    now: Timestamp,
) -> Result<TeamMember, Refusal> {
    if tx.team_member_list(team.id)?.len() >= limits::MEMBERS_PER_TEAM_MAX {
        let most = limits::MEMBERS_PER_TEAM_MAX;
        return Err(Refusal::invalid(format!("A team may have at most {most} members.")));
    }
    let row = TeamMember {
        id: TeamMemberId::random(),
        team: team.id,
        account,
        role,
        default: false,
        created_at: now,
        updated_at: now,
    };
    tx.team_member_insert(&row)?;
    Ok(row)
}

/// New apps of somebody who can make none here any more do not go here.
fn change(
    tx: &Tx<'_>,
    team: &Team,
    mut row: TeamMember,
    role: TeamRole,
    now: Timestamp,
) -> Result<MemberView, Refusal> {
    refuse_last_admin(tx, team, row.account, Some(role))?;
    (row.role, row.updated_at) = (role, now);
    row.default &= role.makes_apps();
    tx.team_member_update(&row)?;
    member(tx, row)
}

/// Without an admin nobody could change a team any more.
fn refuse_last_admin(
    tx: &Tx<'_>,
    team: &Team,
    account: AccountId,
    becomes: Option<TeamRole>,
) -> Result<(), Refusal> {
    let members = tx.team_member_list(team.id)?;
    let others = members.iter().any(|row| row.role == TeamRole::Admin && row.account != account);
    let is_admin = members.iter().any(|row| row.role == TeamRole::Admin && row.account == account);
    match is_admin && !others && becomes != Some(TeamRole::Admin) {
        true => Err(Refusal::invalid("A team needs at least one admin. Make somebody else an admin first.")),
        false => Ok(()),
    }
}

pub(super) fn member(read: &Read<'_>, row: TeamMember) -> Result<MemberView, Refusal> {
    let account = read.account_fetch(row.account)?;
    Ok(MemberView { account, role: row.role, since: row.created_at, row: Some(row) })
}
