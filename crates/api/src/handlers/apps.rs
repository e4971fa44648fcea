//! Apps and what hangs on them.

use renga_engine::operations::{
    AppChange, AppNew, AppView, FEATURES, FeatureInfo, Permission, feature_enabled,
};
use renga_model::{App, AppName, Fault, Refusal, StackName};
use renga_wire as wire;
use serde::Deserialize;

use super::{accounts::own, team_apps};
use crate::{
    ApiState,
    answer::{Answered, created, list as list_answer, ok},
    call::Call,
    error::Problem,
    gate,
};

const LIST_KEYS: &[&str] = &["name", "id", "updated_at"];
/// Ids of one filter (Heroku's page limit).
const FILTER_IDS_MAX: usize = 1_000;

pub(crate) async fn create(mut call: Call) -> Answered {
    let asked: wire::AppCreate = call.json().await?;
    let state = &call.state;
    check_region(state, asked.region.as_deref())?;
    if asked.internal_routing == Some(true) {
        return Err(Refusal::invalid("internal_routing: private spaces are not offered yet.").into());
    }
    if asked.locked == Some(true) {
        return Err(Refusal::invalid("locked: only a team's apps can be locked.").into());
    }
    if asked.kernel.is_some() {
        return Err(Refusal::invalid("kernel: there is no choice of kernels here.").into());
    }
    let name = asked.name.map(AppName::try_from).transpose().map_err(Refusal::from)?;
    let stack = asked.stack.as_deref().map(|text| stack_named(state, text)).transpose()?;
    let features = asked.feature_flags.unwrap_or_default();
    let features = features.iter().map(|named| feature_flag(named)).collect::<Result<Vec<_>, _>>()?;
    let account = &call.caller()?.account;
    let new = AppNew { name, stack, team: None, locked: false };
    let mut app = state.engine.app_create(account, new).await?;
    for feature in features {
        app = state.engine.feature_set(app.id, feature, true).await?;
    }
    created(&wire::App::new(&app, account, &state.site))
}

fn feature_flag(named: &str) -> Result<&'static FeatureInfo, Refusal> {
    let known = FEATURES.iter().find(|feature| feature.name == named);
    known.ok_or_else(|| Refusal::invalid(format!("feature_flags: there is no feature {named:?}.")))
}

pub(super) fn check_region(state: &ApiState, asked: Option<&str>) -> Result<(), Refusal> {
    let here = &state.site.region;
    let id = wire::derived_id("region", here).to_string();
    match asked {
        Some(region) if region != here && region != id => {
            Err(Refusal::invalid(format!("region: there is only the region {here} here.")))
        }
        _ => Ok(()),
    }
}

pub(super) fn stack_named(state: &ApiState, text: &str) -> Result<StackName, Refusal> {
    let stacks = &state.engine.settings.stacks;
    wire::AppUpdate::stack_named(text, stacks).ok_or_else(|| {
        let names: Vec<&str> = stacks.iter().map(StackName::as_str).collect();
        Refusal::invalid(format!("Couldn't find the stack {text:?}. There are: {}.", names.join(", ")))
    })
}

pub(crate) async fn list(call: Call) -> Answered {
    let apps = call.state.engine.app_list(call.caller()?.account.id).await?;
    list_answer(LIST_KEYS, apps.iter().map(|view| listed(&call, view)))
}

/// Without the apps of teams.
pub(crate) async fn list_of_user(call: Call) -> Answered {
    let apps = call.state.engine.app_list_personal(own(&call)?.id).await?;
    list_answer(LIST_KEYS, apps.iter().map(|view| listed(&call, view)))
}

pub(super) fn listed(call: &Call, view: &AppView) -> wire::App {
    wire::App::new(&view.app, &view.owner, &call.state.site).of_team(view.team.as_ref())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    r#in: FilterIds,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FilterIds {
    id: Vec<uuid::Uuid>,
}

pub(crate) async fn filter(mut call: Call) -> Answered {
    let asked: Filter = call.json().await?;
    if asked.r#in.id.len() > FILTER_IDS_MAX {
        return Err(Refusal::invalid(format!("in.id: at most {FILTER_IDS_MAX} ids can be asked for.")).into());
    }
    let account = &call.caller()?.account;
    let mut apps = call.state.engine.app_list(account.id).await?;
    apps.retain(|view| asked.r#in.id.contains(&view.app.id.uuid()));
    let mut shown = Vec::new();
    for view in apps {
        shown.push(team_apps::shown(&call, &call.state.engine.team_app_view(account.id, view.app).await?));
    }
    list_answer(LIST_KEYS, shown)
}

pub(crate) async fn info(call: Call) -> Answered {
    ok(&shown(&call, call.app()?).await?)
}

pub(crate) async fn update(mut call: Call) -> Answered {
    let asked: wire::AppUpdate = call.json().await?;
    let app = call.app()?;
    let manages = asked.name.is_some().then_some(Permission::Manage);
    let operates =
        (asked.maintenance.is_some() || asked.build_stack.is_some()).then_some(Permission::Operate);
    for permission in manages.into_iter().chain(operates) {
        gate::app(&call.state, call.caller()?, &app.id.to_string(), permission).await?;
    }
    let name = asked.name.map(AppName::try_from).transpose().map_err(Refusal::from)?;
    let build_stack = asked.build_stack.as_deref().map(|text| stack_named(&call.state, text)).transpose()?;
    let change = AppChange { name, maintenance: asked.maintenance, build_stack };
    let app = call.state.engine.app_update(app.id, change).await?;
    ok(&shown(&call, &app).await?)
}

pub(crate) async fn destroy(call: Call) -> Answered {
    let app = call.state.engine.app_destroy(call.app()?.id).await?;
    ok(&shown(&call, &app).await?)
}

// === automatic certificates ===

pub(crate) async fn acm_enable(call: Call) -> Answered {
    let app = call.state.engine.acm_enable(call.app()?.id, &call.caller()?.account).await?;
    ok(&shown(&call, &app).await?)
}

pub(crate) async fn acm_disable(call: Call) -> Answered {
    let app = call.state.engine.acm_disable(call.app()?.id, &call.caller()?.account).await?;
    ok(&shown(&call, &app).await?)
}

pub(crate) async fn acm_refresh(mut call: Call) -> Answered {
    let asked: wire::AcmRefresh = call.json().await?;
    if !asked.acm_refresh {
        return Err(Refusal::invalid("acm_refresh: must be true, or there is nothing to do.").into());
    }
    let app = call.state.engine.acm_refresh(call.app()?.id).await?;
    ok(&shown(&call, &app).await?)
}

async fn shown(call: &Call, app: &App) -> Result<wire::App, Problem> {
    Ok(listed(call, &call.state.engine.app_view(app.clone()).await?))
}

// === features ===

pub(crate) async fn features(call: Call) -> Answered {
    let app = call.app()?;
    list_answer(&["id", "name"], FEATURES.iter().map(|feature| feature_shown(app, feature)))
}

pub(crate) async fn feature(call: Call) -> Answered {
    ok(&feature_shown(call.app()?, feature_named(&call)?))
}

pub(crate) async fn feature_update(mut call: Call) -> Answered {
    let asked: wire::FeatureUpdate = call.json().await?;
    let feature = feature_named(&call)?;
    let app = call.state.engine.feature_set(call.app()?.id, feature, asked.enabled).await?;
    ok(&feature_shown(&app, feature))
}

fn feature_named(call: &Call) -> Result<&'static FeatureInfo, Problem> {
    let named = call.param("feature")?;
    let fits = |feature: &&FeatureInfo| {
        feature.name == named || wire::derived_id("app-feature", feature.name).to_string() == named
    };
    let unknown = || match named {
        // Heroku's ps:exec asks for it first, and shows this sentence.
        "runtime-heroku-exec" => Refusal::new(
            Fault::NotFound("app_feature"),
            "Heroku's SSH tunnels to dynos are not offered here. Run `heroku run:inside web.1 bash`, or `renga ps:exec`.",
        ),
        _ => Refusal::not_found("app_feature"),
    };
    FEATURES.iter().find(fits).ok_or_else(|| unknown().into())
}

fn feature_shown(app: &App, feature: &FeatureInfo) -> wire::Feature {
    wire::Feature {
        created_at: app.created_at.into(),
        description: feature.description.into(),
        doc_url: String::new(),
        enabled: feature_enabled(app, feature),
        id: wire::derived_id("app-feature", feature.name),
        name: feature.name.into(),
        state: feature.state.into(),
        updated_at: app.updated_at.into(),
        display_name: feature.display_name.into(),
        feedback_email: String::new(),
    }
}
