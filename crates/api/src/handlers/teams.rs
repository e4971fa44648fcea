//! Teams themselves.

use renga_engine::operations::{TEAM_FEATURES, TeamFeature, TeamRight, TeamView};
use renga_model::{Permission, Refusal, Team, TeamName};
use renga_wire as wire;

use crate::{
    answer::{Answered, created, list as list_answer, ok},
    call::Call,
    gate,
};

pub(crate) async fn list(call: Call) -> Answered {
    let all = call.state.engine.team_list(call.caller()?.account.id).await?;
    list_answer(&["name", "id"], all.iter().map(shown))
}

pub(crate) async fn create(mut call: Call) -> Answered {
    let asked: wire::TeamCreate = call.json().await?;
    let name = TeamName::try_from(asked.name).map_err(Refusal::from)?;
    created(&shown(&call.state.engine.team_create(call.caller()?.account.id, name).await?))
}

pub(crate) async fn info(call: Call) -> Answered {
    let view = call.state.engine.team_view(call.team()?.clone(), call.caller()?.account.id).await?;
    ok(&shown(&view))
}

/// Its name is the admins' matter, whether it is one's default everybody's own.
pub(crate) async fn update(mut call: Call) -> Answered {
    let asked: wire::TeamUpdate = call.json().await?;
    let name = asked.name.map(TeamName::try_from).transpose().map_err(Refusal::from)?;
    let (team, actor) = (call.team()?.clone(), call.caller()?.account.id);
    if name.is_some() {
        gate::team(&call.state, call.caller()?, &team.id.to_string(), TeamRight::Rule).await?;
    }
    let engine = &call.state.engine;
    if let Some(on) = asked.default {
        engine.team_set_default(actor, team.id, on).await?;
    }
    ok(&shown(&match name {
        Some(name) => engine.team_rename(actor, team.id, name).await?,
        None => engine.team_view(team, actor).await?,
    }))
}

pub(crate) async fn delete(call: Call) -> Answered {
    let gone = call.state.engine.team_delete(call.caller()?.account.id, call.team()?.id).await?;
    ok(&shown(&gone))
}

// === preferences ===

pub(crate) async fn preferences(_: Call) -> Answered {
    ok(&wire::TeamPreferences::default())
}

/// There are no add-ons that rules could be for: switching them on would be a promise that nobody keeps.
pub(crate) async fn preferences_update(mut call: Call) -> Answered {
    let asked: wire::TeamPreferencesUpdate = call.json().await?;
    if asked.addons_controls == Some(true) {
        let say = "addons-controls: there are no add-ons here that rules could be for; it stays false.";
        return Err(Refusal::invalid(say).into());
    }
    preferences(call).await
}

fn shown(view: &TeamView) -> wire::Team {
    wire::Team::new(&view.team, view.role, view.default)
}

// === permissions and features ===

pub(crate) async fn permission_words(_: Call) -> Answered {
    list_answer(&["name"], Permission::GIVEN.map(wire::Permission::new))
}

pub(crate) async fn permissions(call: Call) -> Answered {
    let team = call.team()?;
    let all = call.state.engine.team_permissions(team.clone()).await?;
    list_answer(
        &["name", "id"],
        all.iter().map(|entity| wire::PermissionEntity::new(team, &entity.app, &entity.users)),
    )
}

pub(crate) async fn features(call: Call) -> Answered {
    let team = call.team()?;
    list_answer(&["name", "id"], TEAM_FEATURES.iter().map(|feature| feature_shown(team, feature)))
}

pub(crate) async fn feature(call: Call) -> Answered {
    let (team, named) = (call.team()?, call.param("feature")?);
    let mut all = TEAM_FEATURES.iter().map(|feature| feature_shown(team, feature));
    let found = all.find(|one| one.name == named || one.id.to_string() == named);
    ok(&found.ok_or_else(|| Refusal::not_found("team_feature"))?)
}

fn feature_shown(team: &Team, feature: &TeamFeature) -> wire::Feature {
    wire::Feature {
        created_at: team.created_at.into(),
        description: feature.description.into(),
        doc_url: String::new(),
        enabled: feature.enabled,
        id: wire::derived_id("team-feature", feature.name),
        name: feature.name.into(),
        state: "general".into(),
        updated_at: team.created_at.into(),
        display_name: feature.display_name.into(),
        feedback_email: String::new(),
    }
}
