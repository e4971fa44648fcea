//! Config vars: the flat map.

use std::collections::BTreeMap;

use renga_model::{ConfigKey, Refusal, Secret};
use renga_wire as wire;

use crate::{
    answer::{Answered, ok},
    call::Call,
};

pub(crate) async fn list(call: Call) -> Answered {
    ok(&wire::config_vars(&call.state.engine.config_fetch(call.app()?.id).await?))
}

pub(crate) async fn update(mut call: Call) -> Answered {
    let asked: wire::ConfigChange = call.json().await?;
    let mut changes: BTreeMap<ConfigKey, Option<Secret>> = BTreeMap::new();
    for (key, value) in asked {
        let key = ConfigKey::try_from(key).map_err(Refusal::from)?;
        changes.insert(key, value.map(Secret::new));
    }
    let vars = call.state.engine.config_patch(call.app()?, &call.caller()?.account, changes).await?;
    ok(&wire::config_vars(&vars))
}
