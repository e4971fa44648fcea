//! Public keys of the caller.

use renga_wire as wire;

use crate::{
    answer::{Answered, created, list as list_answer, ok},
    call::Call,
};

pub(crate) async fn list(call: Call) -> Answered {
    let keys = call.state.engine.key_list(call.caller()?.account.id).await?;
    list_answer(&["id", "updated_at"], keys.iter().map(wire::Key::new))
}

pub(crate) async fn create(mut call: Call) -> Answered {
    let asked: wire::KeyCreate = call.json().await?;
    let key = call.state.engine.key_create(&call.caller()?.account, &asked.public_key).await?;
    created(&wire::Key::new(&key))
}

pub(crate) async fn info(call: Call) -> Answered {
    let key = call.state.engine.key_find(call.caller()?.account.id, call.param("key")?).await?;
    ok(&wire::Key::new(&key))
}

pub(crate) async fn delete(call: Call) -> Answered {
    let key = call.state.engine.key_delete(call.caller()?.account.id, call.param("key")?).await?;
    ok(&wire::Key::new(&key))
}
