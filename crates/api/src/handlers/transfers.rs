//! Apps on their way to another owner.

use renga_engine::operations::{Permission, Person, TransferView};
use renga_model::{Refusal, TransferState};
use renga_wire as wire;

use crate::{
    answer::{Answered, created, list as list_answer, ok},
    call::Call,
    error::Problem,
    gate,
};

pub(crate) async fn create(mut call: Call) -> Answered {
    let asked: wire::AppTransferCreate = call.json().await?;
    let caller = call.caller()?;
    let app = gate::app(&call.state, caller, &asked.app, Permission::Manage).await?;
    let recipient = Person::parse(&asked.recipient, &caller.account)?;
    let view = call.state.engine.transfer_create(app.id, recipient).await?;
    let say = format!(
        "No mail is sent. {} accepts with: PATCH {}/account/app-transfers/{} {{\"state\":\"accepted\"}}",
        view.recipient.email, call.state.site.api_url, view.row.id
    );
    Ok(created(&shown(&view))?.warning(say))
}

pub(crate) async fn list(call: Call) -> Answered {
    let all = call.state.engine.transfer_list(call.caller()?.account.id).await?;
    list_answer(&["id", "created_at"], all.iter().map(shown))
}

pub(crate) async fn info(call: Call) -> Answered {
    ok(&shown(&named(&call).await?))
}

pub(crate) async fn update(mut call: Call) -> Answered {
    let asked: wire::AppTransferUpdate = call.json().await?;
    let answer = TransferState::parse(&asked.state)
        .ok_or_else(|| Refusal::invalid("state: must be accepted or declined."))?;
    let transfer = named(&call).await?.row.id;
    ok(&shown(&call.state.engine.transfer_answer(call.caller()?.account.id, transfer, answer).await?))
}

pub(crate) async fn delete(call: Call) -> Answered {
    let transfer = named(&call).await?.row.id;
    ok(&shown(&call.state.engine.transfer_delete(call.caller()?.account.id, transfer).await?))
}

async fn named(call: &Call) -> Result<TransferView, Problem> {
    Ok(call.state.engine.transfer_fetch(call.caller()?.account.id, call.param("transfer")?).await?)
}

fn shown(view: &TransferView) -> wire::AppTransfer {
    wire::AppTransfer::new(&view.row, &view.app, &view.owner, &view.recipient)
}
