//! Apps of teams, and who may do what to them.

use renga_engine::operations::{AppNew, AppTaker, Person, TeamAppView, TeamRight};
use renga_model::{App, AppName, Permission, Permissions, Refusal, Team};
use renga_wire as wire;

use super::{
    apps::{check_region, listed, stack_named},
    collaborators,
};
use crate::{
    answer::{Answered, created, list as list_answer, ok},
    call::Call,
    error::Problem,
    gate,
};

pub(crate) async fn list(call: Call) -> Answered {
    let (team, actor) = (call.team()?.clone(), call.caller()?.account.id);
    let all = call.state.engine.team_app_list(actor, team).await?;
    list_answer(&["name", "id", "updated_at"], all.iter().map(|view| shown(&call, view)))
}

pub(crate) async fn info(call: Call) -> Answered {
    let app = call.app()?.clone();
    answered(&call, app).await
}

/// In the team that is named, in the caller's default team, or in his own account.
pub(crate) async fn create(mut call: Call) -> Answered {
    let asked: wire::TeamAppCreate = call.json().await?;
    let state = &call.state;
    check_region(state, asked.region.as_deref())?;
    if asked.internal_routing == Some(true) || asked.space.is_some() {
        return Err(Refusal::invalid("space: private spaces are not offered yet.").into());
    }
    let team = team_for_new(&call, &asked).await?;
    if team.is_none() && asked.locked == Some(true) {
        return Err(Refusal::invalid("locked: only a team's apps can be locked.").into());
    }
    let new = AppNew {
        name: asked.name.map(AppName::try_from).transpose().map_err(Refusal::from)?,
        stack: asked.stack.as_deref().map(|text| stack_named(state, text)).transpose()?,
        team,
        locked: asked.locked.unwrap_or_default(),
    };
    let caller = call.caller()?;
    let app = state.engine.app_create(&caller.account, new).await?;
    let view = state.engine.team_app_view(caller.account.id, app).await?;
    created(&shown(&call, &view))
}

async fn team_for_new(call: &Call, asked: &wire::TeamAppCreate) -> Result<Option<Team>, Problem> {
    let caller = call.caller()?;
    match &asked.team {
        Some(_) if asked.personal == Some(true) => {
            Err(Refusal::invalid("personal: an app in a team is not a personal one.").into())
        }
        Some(named) => Ok(Some(gate::team(&call.state, caller, named, TeamRight::MakeApps).await?.0)),
        None if asked.personal == Some(true) => Ok(None),
        None => Ok(call.state.engine.team_default(caller.account.id).await?),
    }
}

/// Locked or unlocked, or given to another owner.
pub(crate) async fn update(mut call: Call) -> Answered {
    let asked: wire::TeamAppUpdate = call.json().await?;
    let app = call.app()?;
    let changed = match (asked.locked, asked.owner) {
        (Some(locked), None) => call.state.engine.app_lock(app.id, locked).await?,
        (None, Some(owner)) => {
            let taker = taker(&call, &owner).await?;
            call.state.engine.app_give(call.caller()?.account.id, app.id, taker).await?
        }
        _ => return Err(Refusal::invalid("Give either locked or owner.").into()),
    };
    answered(&call, changed).await
}

/// A team by its name or id, or somebody by his address or id.
async fn taker(call: &Call, named: &str) -> Result<AppTaker, Problem> {
    let caller = call.caller()?;
    if named == "~" || named.contains('@') {
        return Ok(AppTaker::Person(Person::parse(named, &caller.account)?));
    }
    match gate::team(&call.state, caller, named, TeamRight::MakeApps).await {
        Ok((team, _)) => Ok(AppTaker::Team(team)),
        Err(refused) => match named.parse() {
            Ok(id) => Ok(AppTaker::Person(Person::Id(id))),
            Err(_) => Err(refused),
        },
    }
}

/// As far as the caller, who may have given the app away, is concerned.
async fn answered(call: &Call, app: App) -> Answered {
    let view = call.state.engine.team_app_view(call.caller()?.account.id, app).await?;
    ok(&shown(call, &view))
}

pub(super) fn shown(call: &Call, view: &TeamAppView) -> wire::TeamApp {
    wire::TeamApp::new(listed(call, &view.view), &view.view.app, view.joined)
}

// === collaborators ===

/// Somebody is added by whoever manages the app; a member of the team joins an app that is not locked.
pub(crate) async fn collaborator_create(mut call: Call) -> Answered {
    let asked: wire::TeamAppCollaboratorCreate = call.json().await?;
    let (app, caller) = (call.app()?, call.caller()?);
    let engine = &call.state.engine;
    if gate::is_oneself(caller, &asked.user) && asked.permissions.is_none() {
        engine.app_join(caller.account.id, app.id).await?;
        let all = engine.collaborator_list(app).await?;
        let own = all.iter().find(|one| one.account.id == caller.account.id);
        return created(&collaborators::shown(app, own.ok_or_else(|| Refusal::not_found("collaborator"))?));
    }
    gate::app(&call.state, caller, &app.id.to_string(), Permission::Manage).await?;
    let permissions = asked.permissions.as_deref().map(permissions).transpose()?;
    if permissions.is_some() {
        engine.app_refuse_personal(app.clone()).await?;
    }
    let person = Person::parse(&asked.user, &caller.account)?;
    let given = permissions.unwrap_or(Permissions::COLLABORATOR);
    collaborators::add(&call, app, person, given).await
}

pub(crate) async fn collaborator_update(mut call: Call) -> Answered {
    let asked: wire::TeamAppCollaboratorUpdate = call.json().await?;
    let (app, named) = (call.app()?, collaborators::named(&call).await?);
    let given = permissions(&asked.permissions)?;
    let changed = call.state.engine.collaborator_set(app.id, named.account.id, given).await?;
    ok(&collaborators::shown(app, &changed))
}

fn permissions(words: &[String]) -> Result<Permissions, Refusal> {
    let parse = |word: &String| {
        let unknown = || {
            Refusal::invalid(format!(
                "permissions: there is no permission {word:?}. There are: deploy, manage, operate, view."
            ))
        };
        Permission::parse(word).ok_or_else(unknown)
    };
    let given = words.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    match given.is_empty() {
        true => {
            Err(Refusal::invalid("permissions: give at least one. Remove the collaborator to take all away."))
        }
        false => Ok(Permissions::of(&given)),
    }
}
