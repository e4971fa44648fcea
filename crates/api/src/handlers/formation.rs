//! The formation: `ps:scale`, `ps:type`.

use renga_engine::operations::{FormationChange, Quantity, WithCommand};
use renga_model::{Fault, ProcessType, Refusal, Sizes};
use renga_wire as wire;

use crate::{
    answer::{Answered, list as list_answer, ok},
    call::Call,
    error::Problem,
};

/// Lines of one batch: more than an app can have types worth scaling.
const UPDATES_MAX: usize = 1_000;

pub(crate) async fn list(call: Call) -> Answered {
    let formation = call.state.engine.formation_list(call.app()?.id).await?;
    shown(&call, &formation)
}

pub(crate) async fn info(call: Call) -> Answered {
    let formation = call.state.engine.formation_list(call.app()?.id).await?;
    one(&call, &formation)
}

pub(crate) async fn update(mut call: Call) -> Answered {
    let asked: wire::FormationUpdates = call.json().await?;
    if asked.updates.len() > UPDATES_MAX {
        return Err(Refusal::invalid(format!("updates: at most {UPDATES_MAX} at once.")).into());
    }
    let sizes = &call.state.engine.settings.sizes;
    let changes = asked.updates.into_iter().enumerate().map(|(n, update)| {
        let process_type = update.process_type.clone();
        let process_type =
            process_type.ok_or_else(|| Refusal::invalid(format!("updates[{n}].type: is missing.")))?;
        change(&process_type, update, sizes)
    });
    let changes = changes.collect::<Result<Vec<_>, Refusal>>()?;
    let formation = call.state.engine.formation_update(call.app()?, &call.caller()?.account, changes).await?;
    shown(&call, &formation)
}

pub(crate) async fn update_one(mut call: Call) -> Answered {
    let asked: wire::FormationUpdate = call.json().await?;
    let process_type = named(&call).await?;
    let changes = vec![change(&process_type, asked, &call.state.engine.settings.sizes)?];
    let formation = call.state.engine.formation_update(call.app()?, &call.caller()?.account, changes).await?;
    one(&call, &formation)
}

fn change(
    process_type: &str,
    update: wire::FormationUpdate,
    sizes: &Sizes,
) -> Result<FormationChange, Refusal> {
    if update.docker_image.is_some() {
        return Err(Refusal::invalid("docker_image: container releases are not offered yet."));
    }
    let quantity = update.quantity.map(|quantity| match quantity {
        wire::QuantityText::Number(number) => Ok(Quantity::Set(number)),
        wire::QuantityText::Text(text) => {
            let refuse =
                || Refusal::invalid(format!("quantity: {text:?} is neither a number nor a change like +1."));
            Quantity::parse(&text).ok_or_else(refuse)
        }
    });
    let size = match (update.size, update.dyno_size) {
        (Some(size), _) => Some(size),
        (None, Some(choice)) => Some(
            choice.name(sizes).ok_or_else(|| Refusal::invalid("dyno_size: names no size that exists."))?,
        ),
        (None, None) => None,
    };
    let process_type = ProcessType::try_from(process_type.to_owned())?;
    Ok(FormationChange { process_type, quantity: quantity.transpose()?, size })
}

/// The type that the path means: by its name, or by the id of its row.
async fn named(call: &Call) -> Result<String, Problem> {
    let formation = call.state.engine.formation_list(call.app()?.id).await?;
    Ok(find(call, &formation)?.0.process_type.to_string())
}

fn find<'a>(call: &Call, formation: &'a [WithCommand]) -> Result<&'a WithCommand, Problem> {
    let named = call.param("type")?;
    let fits = |(row, _): &&WithCommand| row.process_type.as_str() == named || row.id.to_string() == named;
    formation
        .iter()
        .find(fits)
        .ok_or_else(|| Refusal::new(Fault::NotFound("formation"), "Couldn't find that formation.").into())
}

fn one(call: &Call, formation: &[WithCommand]) -> Answered {
    let (row, command) = find(call, formation)?;
    ok(&wire::Formation::new(row, call.app()?, command))
}

fn shown(call: &Call, formation: &[WithCommand]) -> Answered {
    let app = call.app()?;
    list_answer(
        &["type", "id"],
        formation.iter().map(|(row, command)| wire::Formation::new(row, app, command)),
    )
}
