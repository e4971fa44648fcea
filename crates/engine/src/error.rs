//! What the hands' failures mean to a user: the cause goes to the operator, the user reads what it means for him.

use renga_model::Refusal;
use renga_ports::{GitError, LogsError, RuntimeError};
use renga_store::StoreError;

pub(crate) fn runtime(error: RuntimeError) -> Refusal {
    match error {
        RuntimeError::Away(_) => {
            Refusal::unavailable("The dyno manager does not answer. Try again in a moment.").because(error)
        }
        RuntimeError::NoRoom(_) => {
            Refusal::unavailable(format!("The platform has no room for this: {error}."))
        }
        _ => Refusal::internal(error),
    }
}

pub(crate) fn git(error: GitError) -> Refusal {
    Refusal::internal(error)
}

pub(crate) fn logs(error: LogsError) -> Refusal {
    Refusal::internal(error)
}

/// For `write` and `read`, whose closures answer with a `Refusal`.
pub(crate) fn store(error: StoreError) -> Refusal {
    error.into()
}
