//! One build, from the request to the result. Reads like the log that it prints.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use renga_model::{ProcessType, Procfile, StackName};
use renga_ports::{BuildFailure, BuildRequest, BuildResult, BuiltLayer};

use crate::{
    BuildError, Log, Places,
    buildpack::{Buildpack, Detection, Release},
    command::Env,
    context::Context,
    detect, digest, fetch,
    files::{self, Temporary},
    layers::{self, Layers},
    limits::{CACHE_BYTES_MAX, SMALL_FILE_BYTES_MAX},
    options::{self, Choice},
    procfile::ProcfileOnly,
    slug, slugignore, source,
};

/// Builds what the request at `places.request` asks for; `now` in seconds since 1970.
pub fn build(places: &Places, log: &mut Log, now: u64) -> Result<BuildResult, BuildError> {
    let request = read_request(places)?;
    if request.is_slug {
        return slug::take(places, &request, log);
    }
    log.step(format!("Building on the {} stack", title(&request.stack)));
    let mut context = prepare(places, &request, log, now)?;
    let plan = plan(&mut context)?;
    let outcome = run_buildpacks(plan, &mut context)?;
    finish(outcome, context)
}

/// Writes the result file and the last lines of the log; true if the build succeeded.
pub fn conclude(places: &Places, log: &mut Log, outcome: Result<BuildResult, BuildError>) -> bool {
    let (succeeded, json) = match outcome {
        Ok(result) => (true, serde_json::to_vec(&result)),
        Err(error) => {
            log.blank();
            log.trouble(error.explain());
            log.blank();
            if let Some(language) = error.language() {
                log.trouble(format!("Push rejected, failed to compile {language} app."));
                log.blank();
            }
            log.trouble("Push failed");
            (false, serde_json::to_vec(&BuildFailure { failure: error.explain() }))
        }
    };
    let written = json.map_err(std::io::Error::other).and_then(|json| std::fs::write(&places.result, json));
    match written {
        Ok(()) => succeeded,
        Err(cause) => {
            log.trouble(files::failed("write", &places.result, cause).explain());
            false
        }
    }
}

// === before the buildpacks ===

fn read_request(places: &Places) -> Result<BuildRequest, BuildError> {
    let bytes =
        std::fs::read(&places.request).map_err(|cause| files::failed("read", &places.request, cause))?;
    serde_json::from_slice(&bytes).map_err(|cause| BuildError::Request { cause })
}

/// `heroku-24` is `Heroku-24` in the log.
fn title(stack: &StackName) -> String {
    let mut letters = stack.as_str().chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn prepare<'a>(
    places: &'a Places,
    request: &'a BuildRequest,
    log: &'a mut Log,
    now: u64,
) -> Result<Context<'a>, BuildError> {
    let context = workplace(places, request, log, now)?;
    let mut archive = PathBuf::from(&request.source);
    if fetch::is_url(&request.source) {
        context.log.step("Fetching the source");
        archive = context.scratch.join("source");
        fetch::fetch_source(&request.source, &archive, &context.env)?;
    }
    if let Some(checksum) = &request.checksum {
        source::verify(&archive, checksum)?;
    }
    let build_dir = &context.build_dir;
    source::unpack(&archive, build_dir, request.strip_top_folder)?;
    for name in [".git", ".gitmodules"] {
        files::remove(&build_dir.join(name))?;
    }
    tidy(build_dir)?;
    let ignored = slugignore::apply(build_dir)?;
    if ignored > 0 {
        context.log.step(format!("Deleting {ignored} files matching .slugignore patterns."));
    }
    Ok(context)
}

/// The directories and the environment of a build, before there is any source.
pub(crate) fn workplace<'a>(
    places: &'a Places,
    request: &'a BuildRequest,
    log: &'a mut Log,
    now: u64,
) -> Result<Context<'a>, BuildError> {
    let name: String = request.build.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
    let build_dir = places.tmp.join(format!("build_{name}"));
    let scratch = places.tmp.join(format!("renga_{name}"));
    files::make_dir(&scratch)?;
    let env_dir = Temporary::private(&places.private, &format!("env_{name}"))?;
    let env = base_environment(places, request);
    let (facts, layers) = (request.facts.clone(), Layers::default());
    let stack_id = stack_id(places, request)?;
    let only_builtins = false;
    Ok(Context {
        places,
        request,
        log,
        now,
        build_dir,
        scratch,
        env,
        only_builtins,
        facts,
        layers,
        env_dir,
        stack_id,
    })
}

fn stack_id(places: &Places, request: &BuildRequest) -> Result<String, BuildError> {
    let packages = if places.stack_packages.is_file() {
        digest::sha256_of_file(&places.stack_packages)?
    } else {
        String::new()
    };
    Ok(format!("{} {packages}", request.stack))
}

/// What the contract promises, and what the operator's site needs; nothing else.
fn base_environment(places: &Places, request: &BuildRequest) -> Env {
    let mut env = Env::new();
    let mut set = |name: &str, value: &str| drop(env.insert(name.into(), value.into()));
    set("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    set("LANG", "C.UTF-8");
    set("STACK", request.stack.as_str());
    set("REQUEST_ID", &request.build);
    set("SOURCE_VERSION", request.version.as_deref().unwrap_or_default());
    set("CURL_CONNECT_TIMEOUT", "3");
    set("CURL_TIMEOUT", "60");
    for (name, value) in &request.site_env {
        set(name, value);
    }
    env.insert("HOME".into(), places.app.clone().into());
    env
}

// === choosing ===

struct Plan {
    buildpacks: Vec<Box<dyn Buildpack>>,
    /// What the next build shall remember if this one succeeds.
    remember: Option<String>,
    /// What detection found, before it was told.
    procfile_only: bool,
}

fn plan(context: &mut Context<'_>) -> Result<Plan, BuildError> {
    let choice = options::choose(context)?;
    let plan = match choice {
        Choice::Listed(names) => listed(&names, None, context),
        Choice::Remembered(name) => listed(std::slice::from_ref(&name), Some(name.clone()), context),
        Choice::Detect => detected(context),
    }?;
    context.only_builtins =
        plan.buildpacks.iter().all(|buildpack| options::BUILT_IN.contains(&buildpack.name().as_str()));
    Ok(plan)
}

fn listed(names: &[String], remember: Option<String>, context: &mut Context<'_>) -> Result<Plan, BuildError> {
    let buildpacks = names.iter().map(|name| options::resolve(name)).collect::<Result<Vec<_>, _>>()?;
    match buildpacks.as_slice() {
        [one] => context.log.step(format!("Using buildpack: {}", one.name())),
        several => {
            context.log.step("Using buildpacks:");
            for (index, buildpack) in several.iter().enumerate() {
                context.log.detail(format!("{}. {}", index + 1, buildpack.name()));
            }
        }
    }
    Ok(Plan { buildpacks, remember, procfile_only: false })
}

fn detected(context: &mut Context<'_>) -> Result<Plan, BuildError> {
    context.log.step("Determining which buildpack to use for this app");
    if let Some(buildpack) = detect::detect(&context.build_dir)? {
        let remember = Some(buildpack.name());
        return Ok(Plan { buildpacks: vec![buildpack], remember, procfile_only: false });
    }
    let is_empty = std::fs::read_dir(&context.build_dir).is_ok_and(|mut entries| entries.next().is_none());
    if context.app_has("Procfile") {
        // Not remembered: the app may become one of a language with its next commit.
        return Ok(Plan { buildpacks: vec![Box::new(ProcfileOnly)], remember: None, procfile_only: true });
    }
    Err(if is_empty { BuildError::SourceEmpty } else { BuildError::NothingDetected })
}

// === the buildpacks ===

struct Outcome {
    language: Option<String>,
    release: Release,
    records: Vec<String>,
    remember: Option<String>,
}

fn run_buildpacks(plan: Plan, context: &mut Context<'_>) -> Result<Outcome, BuildError> {
    let mut outcome =
        Outcome { language: None, release: Release::default(), records: Vec::new(), remember: plan.remember };
    for mut buildpack in plan.buildpacks {
        let language = match buildpack.detect(context)? {
            Detection::Applies { language } => language,
            Detection::No { reason } => return Err(not_compatible(buildpack.name(), &reason, context)),
        };
        if !plan.procfile_only {
            context.log.step(format!("{language} app detected"));
        }
        let release = run_one(buildpack.as_mut(), context)
            .map_err(|cause| BuildError::Compile { language: language.clone(), cause: Box::new(cause) })?;
        outcome.records.push(buildpack.record());
        outcome.language = Some(language);
        // The last one's process types count; what any of them wants configured is asked for.
        let config_vars = std::mem::take(&mut outcome.release.config_vars);
        outcome.release = release;
        outcome.release.config_vars.extend(config_vars);
    }
    Ok(outcome)
}

fn run_one(buildpack: &mut dyn Buildpack, context: &mut Context<'_>) -> Result<Release, BuildError> {
    buildpack.compile(context)?;
    let release = buildpack.release(context)?;
    buildpack.export(context)?;
    Ok(release)
}

fn not_compatible(name: String, reason: &str, context: &mut Context<'_>) -> BuildError {
    context.log.step(format!("App not compatible with buildpack: {name}"));
    context.log.detail(reason.trim());
    BuildError::NotCompatible { name }
}

// === after the buildpacks ===

fn finish(outcome: Outcome, context: Context<'_>) -> Result<BuildResult, BuildError> {
    // What lies in the scratch directory goes with the dyno.
    let Context { places, log, build_dir, facts, layers, env_dir, .. } = context;
    drop(env_dir);
    let process_types = process_types(&build_dir, &outcome.release, log)?;
    tidy(&build_dir)?;
    remove_finder_files(&build_dir)?;
    files::make_dir(&places.layers_out)?;
    let layers = layers.finish(places, &build_dir)?;
    let cache = keep_cache(places, log)?;
    Ok(BuildResult {
        layers,
        cache,
        process_types,
        language: outcome.language,
        detected: outcome.remember,
        config_defaults: outcome.release.config_vars,
        addons: outcome.release.addons,
        facts,
        buildpacks: outcome.records,
    })
}

fn process_types(
    build_dir: &Path,
    release: &Release,
    log: &mut Log,
) -> Result<BTreeMap<ProcessType, String>, BuildError> {
    let text = files::read_text(&build_dir.join("Procfile"), SMALL_FILE_BYTES_MAX)?;
    let declared = Procfile::parse(text.as_deref().unwrap_or_default()).types;
    let mut types = release.process_types.clone();
    types.retain(|name, _| !declared.contains_key(name));
    let names = |types: &BTreeMap<ProcessType, String>| {
        let names: Vec<&str> = types.keys().map(ProcessType::as_str).collect();
        if names.is_empty() { "(none)".to_owned() } else { names.join(", ") }
    };
    log.step("Discovering process types");
    if types.is_empty() {
        log.detail(format!("Procfile declares types -> {}", names(&declared)));
    } else {
        log.detail(format!("Procfile declares types     -> {}", names(&declared)));
        log.detail(format!("Default types for buildpack -> {}", names(&types)));
    }
    if declared.is_empty() && types.is_empty() {
        log.detail("Nothing will run: add a Procfile at the root of the source, with a line such as");
        log.detail("    web: <the command that listens on $PORT>");
    }
    types.extend(declared);
    Ok(types)
}

/// Everything under `tmp/` and `log/` goes, the directories stay.
fn tidy(build_dir: &Path) -> Result<(), BuildError> {
    for name in ["tmp", "log"] {
        files::empty_dir(&build_dir.join(name))?;
    }
    Ok(())
}

fn remove_finder_files(build_dir: &Path) -> Result<(), BuildError> {
    let mut found = Vec::new();
    files::walk(build_dir, &mut |path, _| {
        if path.file_name().is_some_and(|name| name == ".DS_Store") {
            found.push(path.to_owned());
        }
        Ok(!path.ends_with("node_modules"))
    })?;
    found.iter().try_for_each(|path| files::remove(path))
}

/// The buildpacks' cache becomes a layer at its own place, if there is anything in it.
fn keep_cache(places: &Places, log: &mut Log) -> Result<Option<BuiltLayer>, BuildError> {
    let filled = std::fs::read_dir(&places.cache).is_ok_and(|mut entries| entries.next().is_some());
    if !filled {
        return Ok(None);
    }
    let bytes = files::tree_bytes(&places.cache)?;
    if bytes > CACHE_BYTES_MAX {
        log.detail(format!("The build cache holds {} MB, which is too much: not kept.", bytes / 1_000_000));
        return Ok(None);
    }
    let root = places.layers_out.join("cache");
    let relative = places.cache.strip_prefix("/").unwrap_or(&places.cache);
    files::move_tree(&places.cache, &root.join(relative))?;
    Ok(Some(layers::fresh(Some("cache".into()), &root)))
}
