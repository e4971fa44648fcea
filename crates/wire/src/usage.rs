//! What dynos take of the machine. No part of Heroku's API.

use serde::{Deserialize, Serialize};

use crate::NameId;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DynoUsage {
    pub dyno: NameId,
    /// What counts against the quota (R14): memory of its processes, shared memory and swap.
    pub memory_bytes: u64,
    pub memory_quota_bytes: u64,
    /// 100 is one processor, over at most the last 20 seconds or so. Null where the machine does not count it.
    pub cpu_percent: Option<f64>,
    /// It runs no more, and keeps its memory.
    #[serde(default)]
    pub frozen: bool,
}

impl DynoUsage {
    pub fn new(
        dyno: &renga_model::Dyno,
        memory_bytes: u64,
        memory_quota_bytes: u64,
        cpu_percent: Option<f64>,
    ) -> Self {
        let frozen = dyno.state == renga_model::DynoState::Frozen;
        let name = NameId { id: dyno.id.uuid(), name: dyno.name.to_string() };
        Self { dyno: name, memory_bytes, memory_quota_bytes, cpu_percent, frozen }
    }
}
