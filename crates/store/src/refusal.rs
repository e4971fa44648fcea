//! What a failure of the ledger means to a user; the chain of causes goes to the operator.

use std::error::Error as _;

use renga_model::{Fault, Refusal};

use crate::StoreError;

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::NotFound { what } => Refusal::not_found(what),
            StoreError::Conflict { what: "email" } => Refusal::invalid("Email has already been taken"),
            StoreError::Conflict { what: "key" } => Refusal::invalid("Fingerprint has already been taken"),
            StoreError::Conflict { what: "app name" } => Refusal::invalid("Name is already taken"),
            StoreError::Conflict { .. } | StoreError::Stale { .. } | StoreError::IllegalMove { .. } => {
                Refusal::new(Fault::Conflict, format!("{}.", capitalised(&error))).because(chain(&error))
            }
            StoreError::Dangling { .. } => {
                Refusal::conflict("What this belongs to has been removed meanwhile.")
            }
            StoreError::Full { .. } => {
                Refusal::unavailable("The platform's disk is full; nothing was changed.")
                    .because(chain(&error))
            }
            StoreError::Closed | StoreError::Aborted => {
                Refusal::unavailable("The platform is busy or stopping. Try again.").because(chain(&error))
            }
            _ => Refusal::internal(chain(&error)),
        }
    }
}

fn capitalised(error: &StoreError) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn chain(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
