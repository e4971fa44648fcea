//! What the installation offers by itself: regions, stacks, generations, dyno sizes.

use renga_model::{DynoSize as ModelSize, StackName};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    IdName, Time,
    ids::{derived_id, named},
};

/// Entries of the catalogue are part of the program and have no birthday of their own.
const CATALOGUE_DATE: &str = "2026-01-01T00:00:00Z";

fn catalogue_time() -> Time {
    Time(CATALOGUE_DATE.parse().expect("the constant is a timestamp"))
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Region {
    pub country: String,
    pub created_at: Time,
    pub description: String,
    pub id: Uuid,
    pub locale: String,
    pub name: String,
    pub private_capable: bool,
    pub provider: Provider,
    pub updated_at: Time,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Provider {
    pub name: String,
    pub region: String,
}

impl Region {
    /// The one region of an installation. Clients know Heroku's names, so it carries one of them.
    pub fn only(name: &str) -> Self {
        Self {
            country: "Here".into(),
            created_at: catalogue_time(),
            description: "This installation".into(),
            id: derived_id("region", name),
            locale: "On your own machine".into(),
            name: name.into(),
            private_capable: false,
            // The schema lists the regions of one cloud provider only; this is the one behind `us`.
            provider: Provider { name: "renga".into(), region: "us-east-1".into() },
            updated_at: catalogue_time(),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Stack {
    pub default: bool,
    pub created_at: Time,
    pub id: Uuid,
    pub name: String,
    pub state: String,
    pub updated_at: Time,
}

impl Stack {
    pub fn new(name: &StackName, default: &StackName) -> Self {
        Self {
            default: name == default,
            created_at: catalogue_time(),
            id: derived_id("stack", name.as_str()),
            name: name.to_string(),
            state: "public".into(),
            updated_at: catalogue_time(),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Generation {
    pub created_at: Time,
    pub id: Uuid,
    pub name: String,
    pub updated_at: Time,
}

impl Generation {
    pub fn cedar() -> Self {
        Self {
            created_at: catalogue_time(),
            id: derived_id("generation", "cedar"),
            name: "cedar".into(),
            updated_at: catalogue_time(),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DynoSize {
    pub architecture: String,
    pub compute: u64,
    pub cost: Option<Cost>,
    pub dedicated: bool,
    pub precise_dyno_units: f64,
    pub generation: IdName,
    pub id: Uuid,
    /// GB, as the published API gives it.
    pub memory: f64,
    pub name: String,
    pub private_space_only: bool,
}

/// A price. There is none on one's own machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cost {
    pub cents: u64,
    pub unit: String,
}

impl DynoSize {
    pub fn new(size: &ModelSize) -> Self {
        #[allow(clippy::cast_precision_loss)] // the table's figures are far below 2^52
        let (memory, units) = (size.memory_mib as f64 / 1024.0, size.cpu_shares as f64 / 1024.0);
        Self {
            architecture: if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }.into(),
            compute: size.cpu_shares / 1024,
            cost: None,
            dedicated: size.name.starts_with("Performance"),
            precise_dyno_units: units,
            generation: named("generation", "cedar"),
            id: derived_id("dyno-size", &size.name),
            memory,
            name: size.name.clone(),
            private_space_only: false,
        }
    }
}
