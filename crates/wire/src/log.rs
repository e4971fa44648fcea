//! Log sessions.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Time;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogSession {
    pub created_at: Time,
    pub id: Uuid,
    pub logplex_url: String,
    pub updated_at: Time,
}

impl LogSession {
    pub fn new(id: Uuid, logplex_url: String, now: Timestamp) -> Self {
        Self { created_at: now.into(), id, logplex_url, updated_at: now.into() }
    }
}

/// `dyno` is what the command line sends (a dyno's name or a process type), `dyno_name` and `type` what the published
/// schema has.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSessionCreate {
    #[serde(default)]
    pub dyno: Option<String>,
    #[serde(default)]
    pub dyno_name: Option<String>,
    #[serde(default, rename = "type")]
    pub process_type: Option<String>,
    #[serde(default)]
    pub source: Option<String>,
    #[serde(default)]
    pub lines: Option<i64>,
    #[serde(default)]
    pub tail: Option<bool>,
}
