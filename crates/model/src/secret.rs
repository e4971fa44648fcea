//! A value that must not be shown: no `Display`, and a `Debug` that says only that it is one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// `Serialize` is there for the encrypted ledger and the private channel to the node; no public shape contains one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }
    /// The value itself. Every call is a place to review: it must not reach a log line or an error.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}
