//! The Node.js buildpack.

use crate::{
    BuildError,
    buildpack::{Buildpack, Detection, Release},
    context::Context,
};

#[derive(Debug, Default)]
pub(crate) struct Node {}

impl Buildpack for Node {
    fn name(&self) -> String {
        "heroku/nodejs".into()
    }

    fn detect(&mut self, context: &mut Context<'_>) -> Result<Detection, BuildError> {
        let _ = context;
        Err(BuildError::LanguageNotOffered { language: "nodejs", file: "package.json".into() })
    }

    fn compile(&mut self, _context: &mut Context<'_>) -> Result<(), BuildError> {
        Err(BuildError::LanguageNotOffered { language: "nodejs", file: "package.json".into() })
    }

    fn release(&mut self, _: &mut Context<'_>) -> Result<Release, BuildError> {
        Ok(Release::default())
    }
}
