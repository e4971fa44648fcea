//! The environment of the user, as the binary read it.

use std::collections::BTreeMap;

/// Every variable of the process; the binary's `config.rs` fills it, nothing in this crate reads the environment.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    pub vars: BTreeMap<String, String>,
}
