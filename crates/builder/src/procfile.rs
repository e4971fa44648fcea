//! Procfile only: an app that needs no building, because it brings programs along or uses those of the stack.

use crate::{
    BuildError,
    buildpack::{Buildpack, Detection, Release},
    context::Context,
};

#[derive(Debug)]
pub(crate) struct ProcfileOnly;

impl Buildpack for ProcfileOnly {
    fn name(&self) -> String {
        "heroku/procfile".into()
    }

    fn detect(&mut self, context: &mut Context<'_>) -> Result<Detection, BuildError> {
        Ok(if context.app_has("Procfile") {
            Detection::Applies { language: "Procfile".into() }
        } else {
            Detection::No { reason: "There is no Procfile at the root of the source.".into() }
        })
    }

    fn compile(&mut self, context: &mut Context<'_>) -> Result<(), BuildError> {
        context.log.step("Nothing to build: the source goes into the slug as it is");
        context
            .log
            .detail("No language was recognised, but there is a Procfile. Its commands run with what the");
        context
            .log
            .detail("source and the stack hold. If a language was expected, check that its file (such as");
        context
            .log
            .detail("package.json or requirements.txt) lies at the root of the repository and is committed.");
        Ok(())
    }

    fn release(&mut self, _: &mut Context<'_>) -> Result<Release, BuildError> {
        Ok(Release::default())
    }
}
