//! What `renga why` is told. No part of Heroku's API.

use serde::{Deserialize, Serialize};

use crate::{NameId, Time};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Why {
    pub app: NameId,
    /// Version of the current release.
    pub release: Option<u64>,
    pub dynos: Vec<WhyDyno>,
    /// The newest first.
    pub decisions: Vec<WhyDecision>,
    /// Decisions from before this moment are not remembered: the server was started then.
    pub decisions_since: Time,
}

/// A place of the formation, such as `web.1`, or a dyno that is leaving.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WhyDyno {
    pub name: String,
    /// Whether the formation asks for it.
    pub wanted: bool,
    /// What stands for the name now; null if there is no dyno.
    pub seen: Option<WhySeen>,
    pub because: String,
    /// When something is going to happen by itself.
    pub next_at: Option<Time>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WhySeen {
    /// As `ps` shows it, `crashed`, or `frozen`, which `ps` shows as `idle`.
    pub state: String,
    pub release: Option<u64>,
    pub since: Time,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WhyDecision {
    pub at: Time,
    pub dyno: String,
    /// `start`, `stop`, `freeze`, `thaw`, `wait` or `ended`.
    pub action: String,
    pub reason: String,
}
