//! What the steps of a workflow have come to.
//!
//! ```text
//! (none) ──start──> Started ──done(output)──> Done      final: starting it again changes nothing
//!                    │  ^ └──failed(error)──> Failed
//!                    └──┴────────start──────────┘       run again after a crash or a failure
//! ```

use jiff::Timestamp;
use renga_model::AppId;
use rusqlite::params;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Read, StoreError, Tx,
    row::{Cells, corrupt, micros},
};

/// Which step of which run: (`build`, the build's id, `pack`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepKey {
    pub workflow: &'static str,
    pub run: Uuid,
    pub name: &'static str,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub name: String,
    pub state: StepState,
    /// How often it was started.
    pub attempts: u32,
    pub started_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq)]
pub enum StepState {
    Started,
    /// No secrets: an output is kept as it is.
    Done(Value),
    Failed(String),
}

impl Read<'_> {
    /// In the order in which they were first started.
    pub fn step_list(&self, workflow: &str, run: Uuid) -> Result<Vec<Step>, StoreError> {
        let sql = "SELECT * FROM step WHERE workflow = ?1 AND run = ?2 ORDER BY seq";
        self.all("list steps", sql, params![workflow, run.into_bytes()], step)
    }

    fn step_fetch(&self, key: StepKey) -> Result<Step, StoreError> {
        let sql = "SELECT * FROM step WHERE workflow = ?1 AND run = ?2 AND name = ?3";
        let cells = params![key.workflow, key.run.into_bytes(), key.name];
        self.first("fetch a step", sql, cells, step)?.ok_or(StoreError::not_found("step"))
    }
}

impl Tx<'_> {
    /// Answers what the step is now: `Started`, or `Done` with its output if an earlier run came that far.
    pub fn step_start(&self, key: StepKey, app: AppId, now: Timestamp) -> Result<Step, StoreError> {
        self.change(
            "start a step",
            "INSERT INTO step (app, workflow, run, name, state, attempts, started_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, 'started', 1, ?5, ?5)
             ON CONFLICT (workflow, run, name) DO UPDATE SET state = 'started', attempts = attempts + 1,
                error = NULL, updated_at = excluded.updated_at WHERE state <> 'done'",
            params![app.uuid().into_bytes(), key.workflow, key.run.into_bytes(), key.name, micros(now)],
        )?;
        self.step_fetch(key)
    }

    /// `Stale` unless the step is started.
    pub fn step_done(&self, key: StepKey, output: &impl Serialize, now: Timestamp) -> Result<(), StoreError> {
        let output = serde_json::to_string(output).map_err(|error| corrupt("output of a step", error))?;
        let sql = "UPDATE step SET state = 'done', output = ?4, updated_at = ?5
             WHERE workflow = ?1 AND run = ?2 AND name = ?3 AND state = 'started'";
        self.step_end(sql, key, &output, now)
    }

    /// `Stale` unless the step is started.
    pub fn step_failed(&self, key: StepKey, error: &str, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE step SET state = 'failed', error = ?4, updated_at = ?5
             WHERE workflow = ?1 AND run = ?2 AND name = ?3 AND state = 'started'";
        self.step_end(sql, key, error, now)
    }

    fn step_end(&self, sql: &str, key: StepKey, text: &str, now: Timestamp) -> Result<(), StoreError> {
        let cells = params![key.workflow, key.run.into_bytes(), key.name, text, micros(now)];
        match self.change("end a step", sql, cells)? {
            0 => Err(StoreError::Stale { what: "step", id: format!("{} of {}", key.name, key.run) }),
            _ => Ok(()),
        }
    }
}

fn step(c: &Cells<'_>) -> Result<Step, StoreError> {
    let state = match c.get::<String>("state")?.as_str() {
        "started" => StepState::Started,
        "done" => StepState::Done(c.json("output")?),
        "failed" => StepState::Failed(c.get("error")?),
        _ => return Err(corrupt("state", "unknown word")),
    };
    Ok(Step {
        name: c.get("name")?,
        state,
        attempts: c.get("attempts")?,
        started_at: c.time("started_at")?,
        updated_at: c.time("updated_at")?,
    })
}
