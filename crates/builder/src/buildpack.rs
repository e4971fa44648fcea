//! What a buildpack is to the builder, whether it is written in Rust here or in anything elsewhere.

use std::collections::BTreeMap;

use renga_model::ProcessType;

use crate::{BuildError, context::Context};

/// Called in this order, once each: `detect`, `compile`, `release`, `export`. All of them may write to the log.
pub(crate) trait Buildpack {
    /// As the list names it: `heroku/python`, or a URL without credentials.
    fn name(&self) -> String;

    /// What the build record keeps: the name, and the resolved commit of an external one.
    fn record(&self) -> String {
        self.name()
    }

    /// Whether the app is one of its kind: the display name (`Python`) if it is.
    fn detect(&mut self, context: &mut Context<'_>) -> Result<Detection, BuildError>;

    fn compile(&mut self, context: &mut Context<'_>) -> Result<(), BuildError>;

    fn release(&mut self, context: &mut Context<'_>) -> Result<Release, BuildError>;

    /// Puts into the environment what the next buildpack of the list shall find there.
    fn export(&mut self, _context: &mut Context<'_>) -> Result<(), BuildError> {
        Ok(())
    }
}

pub(crate) enum Detection {
    Applies {
        language: String,
    },
    /// With what `bin/detect` said about it, shown when the buildpack was asked for.
    No {
        reason: String,
    },
}

/// What a buildpack proposes for the release.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Release {
    pub(crate) process_types: BTreeMap<ProcessType, String>,
    pub(crate) config_vars: BTreeMap<String, String>,
    pub(crate) addons: Vec<String>,
}
