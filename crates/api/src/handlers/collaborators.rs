//! Who has access to an app. Named by e-mail address, account or collaborator id; `~` is the caller himself.

use renga_engine::operations::{AccessRole, Accessor, Person};
use renga_model::{App, Permissions, Refusal};
use renga_wire as wire;

use super::people;
use crate::{
    answer::{Answered, created, list as list_answer, ok},
    call::Call,
    error::Problem,
};

const LIST_KEYS: &[&str] = &["id", "created_at"];

pub(crate) async fn list(call: Call) -> Answered {
    let app = call.app()?;
    let all = call.state.engine.collaborator_list(app).await?;
    list_answer(LIST_KEYS, all.iter().map(|one| shown(app, one)))
}

pub(crate) async fn info(call: Call) -> Answered {
    ok(&shown(call.app()?, &named(&call).await?))
}

pub(crate) async fn create(mut call: Call) -> Answered {
    let asked: wire::CollaboratorCreate = call.json().await?;
    let app = call.app()?;
    let person = Person::parse(&asked.user, &call.caller()?.account)?;
    add(&call, app, person, Permissions::COLLABORATOR).await
}

pub(crate) async fn delete(call: Call) -> Answered {
    let (app, named) = (call.app()?, named(&call).await?);
    let gone = call.state.engine.collaborator_remove(app.id, named.account.id).await?;
    ok(&shown(app, &gone))
}

pub(super) async fn add(call: &Call, app: &App, person: Person, permissions: Permissions) -> Answered {
    let invited = people::found_or_invited(call, person).await?;
    let added = call.state.engine.collaborator_add(app.id, invited.account.id, permissions).await?;
    Ok(people::told(created(&shown(app, &added))?, &invited))
}

/// Whom the path names, among those with access.
pub(super) async fn named(call: &Call) -> Result<Accessor, Problem> {
    let (app, named) = (call.app()?, call.param("collaborator")?);
    let own = named == "~";
    let oneself = call.caller()?.account.id;
    let fits = |one: &Accessor| {
        let shown = shown(app, one);
        own && one.account.id == oneself
            || one.account.email.eq_ignore_ascii_case(named)
            || [shown.user.id.to_string(), shown.id.to_string()].contains(&named.to_ascii_lowercase())
    };
    let all = call.state.engine.collaborator_list(app).await?;
    all.into_iter().find(fits).ok_or_else(|| Refusal::not_found("collaborator").into())
}

pub(super) fn shown(app: &App, one: &Accessor) -> wire::Collaborator {
    let role = match one.role {
        AccessRole::Owner => Some("owner"),
        AccessRole::Other(role) => wire::role_shown(role),
    };
    wire::Collaborator::new(app, &one.account, role, one.permissions, one.row.as_ref())
}
