//! Members of teams, and invitations to become one. Named by e-mail address or id.

use renga_engine::operations::{InvitationView, Invited, MemberPut, MemberView, Person};
use renga_model::{Email, Refusal, Secret, Team, TeamRole};
use renga_wire as wire;

use super::{people, team_apps};
use crate::{
    answer::{Answered, created, list as list_answer, ok},
    call::Call,
    error::Problem,
};

pub(crate) async fn list(call: Call) -> Answered {
    let team = call.team()?;
    let all = call.state.engine.team_member_list(team.clone()).await?;
    list_answer(&["email", "id"], all.iter().map(|one| shown(team, one)))
}

pub(crate) async fn create(call: Call) -> Answered {
    let (team, view, invited) = changed(call, MemberPut::New).await?;
    Ok(people::told(created(&shown(&team, &view))?, &invited))
}

pub(crate) async fn put(call: Call) -> Answered {
    let (team, view, invited) = changed(call, MemberPut::Either).await?;
    Ok(people::told(ok(&shown(&team, &view))?, &invited))
}

pub(crate) async fn update(call: Call) -> Answered {
    let (team, view, _) = changed(call, MemberPut::Known).await?;
    ok(&shown(&team, &view))
}

async fn changed(mut call: Call, which: MemberPut) -> Result<(Team, MemberView, Invited), Problem> {
    let asked: wire::TeamMemberPut = call.json().await?;
    if asked.federated == Some(true) {
        return Err(Refusal::invalid("federated: identity providers are not offered yet.").into());
    }
    let (team, role) = (call.team()?.clone(), role(&asked.role)?);
    let person = Person::Email(Email::try_from(asked.email).map_err(Refusal::from)?);
    let engine = &call.state.engine;
    let invited = match which {
        // Whoever has no account is no member yet.
        MemberPut::Known => Invited { account: engine.person(person).await?, link: None, waits: false },
        MemberPut::New | MemberPut::Either => people::found_or_invited(&call, person).await?,
    };
    let view = engine.team_member_put(team.id, invited.account.id, role, which).await?;
    Ok((team, view, invited))
}

fn role(word: &str) -> Result<TeamRole, Refusal> {
    let say = match word {
        "owner" => "role: a team here has no owner; its admins may do everything.".to_owned(),
        _ => format!("role: there is no role {word:?}. There are: admin, member, viewer, collaborator."),
    };
    TeamRole::parse(word).ok_or_else(|| Refusal::invalid(say))
}

pub(crate) async fn delete(call: Call) -> Answered {
    let (team, gone) = (call.team()?, named(&call).await?);
    call.state.engine.team_member_remove(team.id, gone.account.id).await?;
    ok(&shown(team, &gone))
}

/// Those of the team's apps that the member was added to or sees as a member, as far as the caller knows them.
pub(crate) async fn apps(call: Call) -> Answered {
    let (team, member) = (call.team()?.clone(), named(&call).await?);
    let engine = &call.state.engine;
    let known = engine.team_app_list(call.caller()?.account.id, team.clone()).await?;
    let mut his = engine.team_app_list(member.account.id, team).await?;
    his.retain(|one| known.iter().any(|other| other.view.app.id == one.view.app.id));
    list_answer(&["name", "id"], his.iter().map(|view| team_apps::shown(&call, view)))
}

async fn named(call: &Call) -> Result<MemberView, Problem> {
    let (team, named) = (call.team()?, call.param("member")?);
    let own = named == "~";
    let oneself = call.caller()?.account.id;
    let fits = |one: &MemberView| {
        let shown = shown(team, one);
        own && one.account.id == oneself
            || shown.email.eq_ignore_ascii_case(named)
            || [shown.id.to_string(), shown.user.id.to_string()].contains(&named.to_ascii_lowercase())
    };
    let all = call.state.engine.team_member_list(team.clone()).await?;
    all.into_iter().find(fits).ok_or_else(|| Refusal::not_found("team_member").into())
}

/// Who was only added to apps has no row; his id follows from the team's and his own, so that it stays.
fn shown(team: &Team, one: &MemberView) -> wire::TeamMember {
    let derived = || wire::derived_id("team-member", &format!("{}/{}", team.id, one.account.id));
    let id = one.row.as_ref().map_or_else(derived, |row| row.id.uuid());
    let updated_at = one.row.as_ref().map_or(one.since, |row| row.updated_at);
    wire::TeamMember::new(&one.account, one.role, id, one.since.into(), updated_at.into())
}

// === invitations ===

pub(crate) async fn invitations(call: Call) -> Answered {
    let all = call.state.engine.team_invitation_list(call.team()?.id).await?;
    list_answer(&["id", "created_at"], all.iter().map(invitation_shown))
}

pub(crate) async fn invite(mut call: Call) -> Answered {
    let asked: wire::TeamInvitationCreate = call.json().await?;
    let role = role(asked.role.as_deref().unwrap_or("member"))?;
    let person = Person::Email(Email::try_from(asked.email).map_err(Refusal::from)?);
    let (actor, team) = (call.caller()?.account.id, call.team()?.id);
    let invited = people::found_or_invited(&call, person).await?;
    let (view, secret) = call.state.engine.team_invite(actor, team, invited.account.id, role).await?;
    let mut say = format!(
        "No mail is sent. {} accepts with: POST {}/teams/invitations/{}/accept",
        view.account.email,
        call.state.site.api_url,
        secret.expose()
    );
    if let Some(link) = invited.link.filter(|link| !link.mailed) {
        say = format!("{say} after having made an account here: {}", link.url.expose());
    }
    Ok(ok(&invitation_shown(&view))?.warning(say))
}

pub(crate) async fn invitation_revoke(call: Call) -> Answered {
    let named = call.param("invitation")?;
    let all = call.state.engine.team_invitation_list(call.team()?.id).await?;
    let fits = |one: &InvitationView| {
        one.row.id.to_string() == named || one.account.email.eq_ignore_ascii_case(named)
    };
    let gone = all.into_iter().find(fits).ok_or_else(|| Refusal::not_found("team_invitation"))?;
    call.state.engine.team_invitation_revoke(gone.row.id).await?;
    ok(&invitation_shown(&gone))
}

pub(crate) async fn invitation(call: Call) -> Answered {
    let secret = Secret::new(call.param("invitation")?);
    ok(&invitation_shown(&call.state.engine.team_invitation_by_secret(&secret).await?))
}

pub(crate) async fn invitation_accept(call: Call) -> Answered {
    let secret = Secret::new(call.param("invitation")?);
    let team = call.state.engine.team_invitation_by_secret(&secret).await?.team;
    let member = call.state.engine.team_invitation_accept(call.caller()?.account.id, &secret).await?;
    created(&shown(&team, &member))
}

fn invitation_shown(view: &InvitationView) -> wire::TeamInvitation {
    wire::TeamInvitation::new(&view.row, &view.team, &view.account, &view.invited_by)
}
