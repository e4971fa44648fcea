//! The Node.js buildpack: a runtime of the wanted version, the dependencies of the lock file, the app's own scripts.
//!
//! The runtime is a layer of its own. `node_modules` becomes one when nothing but the lock file decides what is in
//! it: no script of the app has run that could write there. Everything else is part of the app layer.

mod dependencies;
mod package;
mod registry;
mod runtime;
mod scripts;
mod version;

use crate::{
    BuildError,
    buildpack::{Buildpack, Detection, Release},
    command::{Env, prepend_path},
    context::{CONFIG_KEPT_BACK, Context},
    files,
};
use package::Package;
use runtime::Runtime;

#[derive(Debug, Default)]
pub(crate) struct Node {
    runtime: Option<Runtime>,
}

/// What everything after the runtime works with.
struct Build<'a> {
    package: &'a Package,
    runtime: &'a Runtime,
    env: Env,
}

impl Buildpack for Node {
    fn name(&self) -> String {
        "heroku/nodejs".into()
    }

    fn detect(&mut self, context: &mut Context<'_>) -> Result<Detection, BuildError> {
        Ok(if context.app_has("package.json") {
            Detection::Applies { language: "Node.js".into() }
        } else {
            let reason = "There is no package.json at the root of the source. Check that it is committed, and not\n\
                          named in .gitignore or .slugignore.";
            Detection::No { reason: reason.into() }
        })
    }

    fn compile(&mut self, context: &mut Context<'_>) -> Result<(), BuildError> {
        let package = Package::read(context)?;
        let mut env = environment(context);
        heading(context, "Installing binaries");
        files::remove(&context.build_dir.join(".heroku/node"))?;
        let runtime = Runtime::install(context, &package)?;
        prepend_path(&mut env, &context.build_dir.join("node_modules/.bin"));
        prepend_path(&mut env, &runtime.bin());
        let build = Build { package: &package, runtime: &runtime, env };
        build.run(context)?;
        write_profile(context)?;
        context.log.blank();
        context.log.step("Build succeeded!");
        self.runtime = Some(runtime);
        Ok(())
    }

    fn release(&mut self, _: &mut Context<'_>) -> Result<Release, BuildError> {
        let web = (renga_model::ProcessType::web(), "npm start".to_owned());
        Ok(Release { process_types: [web].into(), ..Release::default() })
    }

    fn export(&mut self, context: &mut Context<'_>) -> Result<(), BuildError> {
        if let Some(runtime) = &self.runtime {
            let modules = context.build_dir.join("node_modules/.bin");
            prepend_path(&mut context.env, &modules);
            prepend_path(&mut context.env, &runtime.bin());
        }
        Ok(())
    }
}

impl Build<'_> {
    /// The steps, in the order of the log.
    fn run(&self, context: &mut Context<'_>) -> Result<(), BuildError> {
        let restored = dependencies::restore(self, context)?;
        self.script(context, "heroku-prebuild", "Prebuild")?;
        heading(context, "Installing dependencies");
        match &restored {
            Some(_) => context.log.detail("Using cached node_modules: package-lock.json has not changed"),
            None => dependencies::install(self, context)?,
        }
        heading(context, "Build");
        self.build_scripts(context)?;
        dependencies::save_directories(self, context)?;
        heading(context, "Pruning devDependencies");
        let clean = match &restored {
            Some(_) => {
                context.log.detail("Skipping because the cached node_modules hold none");
                true
            }
            None => dependencies::prune(self, context)?,
        };
        self.script(context, "heroku-cleanup", "Cleanup")?;
        dependencies::plan_layer(self, context, restored, clean)
    }
}

/// The environment of the whole build: config vars are in it, other than in Python's.
fn environment(context: &mut Context<'_>) -> Env {
    let mut env = context.env_with_config(&CONFIG_KEPT_BACK);
    let defaults = [
        ("NPM_CONFIG_LOGLEVEL", "error"),
        ("NODE_VERBOSE", "false"),
        ("NODE_ENV", "production"),
        ("NODE_MODULES_CACHE", "true"),
    ];
    heading(context, "Creating runtime environment");
    context.log.blank();
    for (name, default) in defaults {
        let user_set = env.contains_key(std::ffi::OsStr::new(name));
        env.entry(name.into()).or_insert_with(|| default.into());
        // A value that the user set is a config var, and those are not shown.
        let shown = if user_set { "(set by a config var)" } else { default };
        context.log.detail(format!("{name}={shown}"));
    }
    env.entry("NODE_OPTIONS".into()).or_insert_with(|| "--max_old_space_size=2560".into());
    let cache = context.scratch.join("npm-cache").into_os_string();
    env.entry("NPM_CONFIG_CACHE".into()).or_insert(cache);
    env.entry("NPM_CONFIG_UPDATE_NOTIFIER".into()).or_insert_with(|| "false".into());
    env
}

/// A step with an empty line before it.
fn heading(context: &mut Context<'_>, text: &str) {
    context.log.blank();
    context.log.step(text);
}

fn write_profile(context: &Context<'_>) -> Result<(), BuildError> {
    let folder = context.build_dir.join(".profile.d");
    files::write(&folder.join("nodejs.sh"), include_str!("profile/nodejs.sh"))?;
    files::write(&folder.join("WEB_CONCURRENCY.sh"), include_str!("profile/concurrency.sh"))
}
