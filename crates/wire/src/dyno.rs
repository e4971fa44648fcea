//! Formations and dynos.

use std::collections::BTreeMap;

use renga_model::{App, Dyno as ModelDyno, DynoKind, DynoState, Formation as ModelFormation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    IdName, NameId, Time,
    ids::{app_ref, named},
};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Formation {
    pub app: NameId,
    pub command: String,
    pub created_at: Time,
    pub dyno_size: IdName,
    pub id: Uuid,
    pub quantity: u32,
    pub size: String,
    #[serde(rename = "type")]
    pub process_type: String,
    pub updated_at: Time,
}

impl Formation {
    pub fn new(formation: &ModelFormation, app: &App, command: &str) -> Self {
        Self {
            app: app_ref(app),
            command: command.to_owned(),
            created_at: formation.created_at.into(),
            dyno_size: named("dyno-size", &formation.size),
            id: formation.id.uuid(),
            quantity: formation.quantity,
            size: formation.size.clone(),
            process_type: formation.process_type.to_string(),
            updated_at: formation.updated_at.into(),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FormationUpdates {
    pub updates: Vec<FormationUpdate>,
}

/// One line of a batch. The address of a single update names the type, so there it may be absent.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FormationUpdate {
    #[serde(default, rename = "type")]
    pub process_type: Option<String>,
    #[serde(default)]
    pub quantity: Option<QuantityText>,
    #[serde(default)]
    pub size: Option<String>,
    #[serde(default)]
    pub dyno_size: Option<DynoSizeChoice>,
    /// Container releases; refused by the API with a sentence of its own.
    #[serde(default)]
    pub docker_image: Option<serde_json::Value>,
}

/// `3`, `"3"`, `"+1"` or `"-1"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number, or a text like \"3\" or \"+1\"")]
pub enum QuantityText {
    Number(i64),
    Text(String),
}

/// `"standard-1x"`, `{"name": "standard-1x"}` or `{"id": ...}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected the name of a dyno size, or an object with its name or id")]
pub enum DynoSizeChoice {
    Name(String),
    Reference {
        #[serde(default)]
        name: Option<String>,
        #[serde(default)]
        id: Option<Uuid>,
    },
}

impl DynoSizeChoice {
    /// The name in the size table, if it is one that we have.
    pub fn name(&self, sizes: &renga_model::Sizes) -> Option<String> {
        match self {
            Self::Name(name) | Self::Reference { name: Some(name), .. } => Some(name.clone()),
            Self::Reference { name: None, id: Some(id) } => sizes
                .iter()
                .find(|size| crate::derived_id("dyno-size", &size.name) == *id)
                .map(|size| size.name.clone()),
            Self::Reference { name: None, id: None } => None,
        }
    }
}

// === dynos ===

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Dyno {
    pub attach_url: Option<String>,
    pub command: String,
    pub created_at: Time,
    pub id: Uuid,
    pub name: String,
    pub release: DynoRelease,
    pub app: NameId,
    pub size: String,
    pub state: String,
    #[serde(rename = "type")]
    pub process_type: String,
    pub updated_at: Time,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DynoRelease {
    pub id: Uuid,
    pub version: u64,
}

impl Dyno {
    /// None for a dyno without a release (a build): the API does not know of those.
    pub fn new(dyno: &ModelDyno, app: &App, attach_url: Option<String>) -> Option<Self> {
        let release = DynoRelease { id: dyno.release?.uuid(), version: dyno.release_version? };
        Some(Self {
            attach_url,
            command: dyno.command.clone(),
            created_at: dyno.created_at.into(),
            id: dyno.id.uuid(),
            name: dyno.name.to_string(),
            release,
            app: app_ref(app),
            size: dyno.size.clone(),
            state: state_shown(dyno.state, dyno.worker.kind(), dyno.is_idle()).to_owned(),
            process_type: dyno.name.process_type().to_string(),
            updated_at: dyno.updated_at.into(),
        })
    }
}

/// Heroku's word for a state. What ended on its own is `complete` if that was its task, `crashed` if it was to go on.
pub fn state_shown(state: DynoState, kind: DynoKind, is_idle: bool) -> &'static str {
    match (state, kind) {
        (DynoState::Planned | DynoState::Starting, _) => "starting",
        (DynoState::Up, _) => "up",
        (DynoState::Stopping, _) => "down",
        // It sleeps as one that was stopped for it does.
        (DynoState::Frozen, _) => "idle",
        (DynoState::Exited, DynoKind::Formation) if is_idle => "idle",
        (DynoState::Exited, DynoKind::Formation) => "crashed",
        (DynoState::Exited, _) => "complete",
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DynoCreate {
    pub command: String,
    #[serde(default)]
    pub attach: Option<bool>,
    #[serde(default)]
    pub env: Option<BTreeMap<String, EnvValue>>,
    #[serde(default)]
    pub force_no_tty: Option<bool>,
    #[serde(default)]
    pub size: Option<String>,
    #[serde(default, rename = "type")]
    pub process_type: Option<String>,
    #[serde(default)]
    pub time_to_live: Option<u32>,
}

/// A process inside a dyno that runs. `attach` and `type` are what clients send by habit.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DynoExec {
    pub command: String,
    #[serde(default)]
    pub attach: Option<bool>,
    #[serde(default)]
    pub env: Option<BTreeMap<String, EnvValue>>,
    #[serde(default)]
    pub force_no_tty: Option<bool>,
    #[serde(default)]
    pub size: Option<String>,
    #[serde(default, rename = "type")]
    pub process_type: Option<String>,
}

/// `COLUMNS` and `LINES` come as numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a text or a number")]
pub enum EnvValue {
    Text(String),
    Number(serde_json::Number),
    Flag(bool),
}

impl std::fmt::Display for EnvValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
            Self::Flag(flag) => write!(f, "{flag}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_and_sizes_come_in_several_spellings() {
        let update = |json: &str| serde_json::from_str::<FormationUpdate>(json);
        assert_eq!(update(r#"{"quantity":"+1"}"#).unwrap().quantity, Some(QuantityText::Text("+1".into())));
        assert_eq!(update(r#"{"quantity":3}"#).unwrap().quantity, Some(QuantityText::Number(3)));
        let refused = update(r#"{"quantity":[]}"#).unwrap_err().to_string();
        assert!(refused.contains("expected a number"), "{refused}");
        let id = crate::derived_id("dyno-size", "Standard-1X");
        for json in
            [r#""Standard-1X""#.to_owned(), r#"{"name":"Standard-1X"}"#.into(), format!(r#"{{"id":"{id}"}}"#)]
        {
            let choice: DynoSizeChoice = serde_json::from_str(&json).unwrap();
            assert_eq!(choice.name(&renga_model::Sizes::heroku()).as_deref(), Some("Standard-1X"), "{json}");
        }
    }

    #[test]
    fn states_are_shown_in_the_words_of_the_api() {
        assert_eq!(state_shown(DynoState::Planned, DynoKind::Formation, false), "starting");
        assert_eq!(state_shown(DynoState::Exited, DynoKind::Formation, false), "crashed");
        assert_eq!(state_shown(DynoState::Exited, DynoKind::Formation, true), "idle");
        assert_eq!(state_shown(DynoState::Frozen, DynoKind::Formation, false), "idle");
        assert_eq!(state_shown(DynoState::Exited, DynoKind::OneOff, false), "complete");
    }

    #[test]
    fn environments_hold_numbers_too() {
        let create: DynoCreate =
            serde_json::from_str(r#"{"command":"bash","env":{"TERM":"xterm","COLUMNS":132}}"#).unwrap();
        let env: Vec<String> = create.env.unwrap().values().map(ToString::to_string).collect();
        assert_eq!(env, ["132", "xterm"]);
    }
}
