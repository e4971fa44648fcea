//! Invitations to a team: who is invited becomes a member when he says yes. Admins who need not ask add members
//! directly (`team_members`).

use jiff::SignedDuration;
use renga_model::{
    Account, AccountId, Refusal, Secret, Team, TeamId, TeamInvitation, TeamInvitationId, TeamRole, limits,
};
use renga_store::{Read, TokenValue, ValueHash};

use super::{
    team_members::{MemberView, add, member},
    teams::team_row,
};
use crate::Engine;

/// How long an invitation waits for its answer (ours).
const LIFE: SignedDuration = SignedDuration::from_hours(30 * 24);

#[derive(Debug, Clone)]
pub struct InvitationView {
    pub row: TeamInvitation,
    pub team: Team,
    pub account: Account,
    pub invited_by: Account,
}

impl Engine {
    /// Also gives the secret of its link, for the only time. An earlier one of the same address is worthless then.
    pub async fn team_invite(
        &self,
        actor: AccountId,
        team: TeamId,
        account: AccountId,
        role: TeamRole,
    ) -> Result<(InvitationView, Secret), Refusal> {
        let (now, value) = (self.now(), TokenValue::generate(&mut rand::rng()));
        let hash = value.hash();
        let invite = self.store.write(move |tx| -> Result<InvitationView, Refusal> {
            let team = team_row(tx, team)?;
            let account = tx.account_fetch(account)?;
            if tx.team_member_find(team.id, account.id)?.is_some() {
                return Err(Refusal::invalid(format!(
                    "{} is already a member of team {}.",
                    account.email, team.name
                )));
            }
            if tx.team_invitation_list(team.id)?.len() >= limits::MEMBERS_PER_TEAM_MAX {
                return Err(Refusal::invalid("Too many invitations of this team wait for an answer."));
            }
            let row = TeamInvitation {
                id: TeamInvitationId::random(),
                team: team.id,
                account: account.id,
                role,
                invited_by: actor,
                created_at: now,
                updated_at: now,
            };
            tx.team_invitation_insert(&row, &hash)?;
            view(tx, row)
        });
        Ok((invite.await?, value.secret().clone()))
    }

    /// Those that wait for their answer.
    pub async fn team_invitation_list(&self, team: TeamId) -> Result<Vec<InvitationView>, Refusal> {
        let now = self.now();
        let list = self.store.read(move |read| -> Result<Vec<InvitationView>, Refusal> {
            let rows = read.team_invitation_list(team)?.into_iter();
            rows.filter(|row| now < row.created_at + LIFE).map(|row| view(read, row)).collect()
        });
        list.await
    }

    pub async fn team_invitation_by_secret(&self, secret: &Secret) -> Result<InvitationView, Refusal> {
        let (hash, now) = (ValueHash::of(secret.expose()), self.now());
        let find = self.store.read(move |read| -> Result<InvitationView, Refusal> {
            let row = read.team_invitation_find(&hash)?.filter(|row| now < row.created_at + LIFE);
            view(read, row.ok_or_else(|| Refusal::not_found("team_invitation"))?)
        });
        find.await
    }

    pub async fn team_invitation_revoke(&self, invitation: TeamInvitationId) -> Result<(), Refusal> {
        let revoke = self.store.write(move |tx| -> Result<(), Refusal> {
            match tx.team_invitation_delete(invitation)? {
                true => Ok(()),
                false => Err(Refusal::not_found("team_invitation")),
            }
        });
        revoke.await
    }

    /// Only by the one who is invited.
    pub async fn team_invitation_accept(
        &self,
        actor: AccountId,
        secret: &Secret,
    ) -> Result<MemberView, Refusal> {
        let (hash, now) = (ValueHash::of(secret.expose()), self.now());
        let accept = self.store.write(move |tx| -> Result<MemberView, Refusal> {
            let row = tx.team_invitation_find(&hash)?.filter(|row| now < row.created_at + LIFE);
            let row = row.ok_or_else(|| Refusal::not_found("team_invitation"))?;
            if row.account != actor {
                return Err(Refusal::forbidden(
                    "This invitation is for somebody else. Log in as the one who is invited.",
                ));
            }
            let team = team_row(tx, row.team)?;
            tx.team_invitation_delete(row.id)?;
            match tx.team_member_find(team.id, actor)? {
                Some(known) => member(tx, known),
                None => member(tx, add(tx, &team, actor, row.role, now)?),
            }
        });
        accept.await
    }
}

fn view(read: &Read<'_>, row: TeamInvitation) -> Result<InvitationView, Refusal> {
    let (account, invited_by) = (read.account_fetch(row.account)?, read.account_fetch(row.invited_by)?);
    Ok(InvitationView { team: read.team_fetch(row.team)?, account, invited_by, row })
}
