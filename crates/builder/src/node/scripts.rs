//! The app's own scripts in `package.json`.

use super::{Build, heading};
use crate::{BuildError, command::Tool, context::Context};

impl Build<'_> {
    /// A program of the runtime, in the build directory, with the build's environment.
    pub(super) fn tool(&self, context: &Context<'_>, program: &str) -> Tool {
        Tool::new(self.runtime.bin().join(program), &context.build_dir, &self.env)
    }

    /// Runs one of the platform's own scripts, if the app has it, under a heading of its own.
    pub(super) fn script(
        &self,
        context: &mut Context<'_>,
        name: &str,
        title: &str,
    ) -> Result<(), BuildError> {
        if !self.package.has_script(name) {
            return Ok(());
        }
        heading(context, title);
        self.run_script(context, name, &[])
    }

    /// `heroku-postbuild` instead of `build`, if there is one.
    pub(super) fn build_scripts(&self, context: &mut Context<'_>) -> Result<(), BuildError> {
        let (build, postbuild) =
            (self.package.has_script("build"), self.package.has_script("heroku-postbuild"));
        if build && postbuild {
            context.log.detail("Detected both \"build\" and \"heroku-postbuild\" scripts");
        }
        if postbuild {
            return self.run_script(context, "heroku-postbuild", &[]);
        }
        if build {
            let flags = context.config("NODE_BUILD_FLAGS").unwrap_or_default().to_owned();
            let flags: Vec<&str> = flags.split_whitespace().collect();
            return self.run_script(context, "build", &flags);
        }
        Ok(())
    }

    fn run_script(&self, context: &mut Context<'_>, name: &str, flags: &[&str]) -> Result<(), BuildError> {
        context.log.detail(format!("Running {name}"));
        context.log.blank();
        let mut tool = self.tool(context, self.package.manager.program()).args(["run", name]);
        if !flags.is_empty() {
            tool = tool.arg("--").args(flags);
        }
        let status = tool.run_indented(context.log)?;
        if status.success() { Ok(()) } else { Err(BuildError::NodeScript { name: name.to_owned() }) }
    }
}
