//! What this platform truthfully has none of. Clients ask for these in passing, and decide by `resource` what to do.

use renga_model::{Fault, Refusal};
use serde_json::Value;

use crate::{
    answer::{Answered, list},
    call::Call,
};

pub(crate) async fn empty(_: Call) -> Answered {
    list(&["id", "name", "seq", "created_at"], std::iter::empty::<Value>())
}

fn none(resource: &'static str, say: &str) -> Answered {
    Err(Refusal::new(Fault::NotFound(resource), say).into())
}

pub(crate) async fn no_credit(_: Call) -> Answered {
    none("credit", "Couldn't find that credit.")
}
pub(crate) async fn no_invoice(_: Call) -> Answered {
    none("invoice", "Couldn't find that invoice.")
}
pub(crate) async fn no_enterprise_account(_: Call) -> Answered {
    none("enterprise_account", "Couldn't find that enterprise account.")
}
pub(crate) async fn no_add_on(_: Call) -> Answered {
    none("add_on", "Couldn't find that add-on.")
}
pub(crate) async fn no_attachment(_: Call) -> Answered {
    none("add_on attachment", "Couldn't find that add on attachment.")
}
pub(crate) async fn no_coupling(_: Call) -> Answered {
    none("pipeline_coupling", "Couldn't find that pipeline coupling.")
}
pub(crate) async fn no_review_app(_: Call) -> Answered {
    none("review_app", "Couldn't find that review app.")
}
