//! Regions, stacks, generations, dyno sizes.

use renga_model::Refusal;
use renga_wire as wire;

use crate::{
    answer::{Answered, document, list, ok},
    call::Call,
    error::Problem,
};

const KEYS: &[&str] = &["name", "id"];

/// The published API, whole; what is not offered of it says so when it is asked for.
pub(crate) async fn schema(_: Call) -> Answered {
    document(include_str!("../../contract/schema.json"))
}

pub(crate) async fn regions(call: Call) -> Answered {
    list(KEYS, [wire::Region::only(&call.state.site.region)])
}

pub(crate) async fn region(call: Call) -> Answered {
    let region = wire::Region::only(&call.state.site.region);
    named(&call, "region", [region], |region| (region.name.clone(), region.id))
}

fn all_stacks(call: &Call) -> Vec<wire::Stack> {
    let settings = &call.state.engine.settings;
    settings.stacks.iter().map(|stack| wire::Stack::new(stack, &settings.default_stack)).collect()
}

pub(crate) async fn stacks(call: Call) -> Answered {
    list(KEYS, all_stacks(&call))
}

pub(crate) async fn stack(call: Call) -> Answered {
    named(&call, "stack", all_stacks(&call), |stack| (stack.name.clone(), stack.id))
}

pub(crate) async fn generations(_: Call) -> Answered {
    list(KEYS, [wire::Generation::cedar()])
}

pub(crate) async fn generation(call: Call) -> Answered {
    named(&call, "generation", [wire::Generation::cedar()], |generation| {
        (generation.name.clone(), generation.id)
    })
}

fn all_sizes(call: &Call) -> Vec<wire::DynoSize> {
    call.state.engine.settings.sizes.iter().map(wire::DynoSize::new).collect()
}

pub(crate) async fn dyno_sizes(call: Call) -> Answered {
    list(KEYS, all_sizes(&call))
}

pub(crate) async fn dyno_size(call: Call) -> Answered {
    named(&call, "size", all_sizes(&call), |size| (size.name.clone(), size.id))
}

/// The entry whose name (without regard to case) or id the path gives.
fn named<T: serde::Serialize>(
    call: &Call,
    kind: &'static str,
    all: impl IntoIterator<Item = T>,
    key: impl Fn(&T) -> (String, uuid::Uuid),
) -> Answered {
    let asked = call.param(kind)?;
    let fits = |entry: &T| {
        let (name, id) = key(entry);
        name.eq_ignore_ascii_case(asked) || id.to_string() == asked
    };
    let found = all.into_iter().find(fits);
    ok(&found.ok_or_else(|| Problem::from(Refusal::not_found(kind)))?)
}
