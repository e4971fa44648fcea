//! From rows to a complete dyno spec. The same rows always give the same spec, so asking the node again after a crash
//! asks for the same dyno.

use std::{collections::BTreeMap, time::Duration};

use renga_model::{App, Dyno, Release, Secret, Slug, Worker, limits};
use renga_planner::run_life;
use renga_ports::{DynoLimits, DynoSpec, Tty};

use crate::Settings;

/// The port that web dynos are told. Any would do: every dyno has a network of its own.
pub(crate) const PORT: u16 = 5000;

/// Sources the app's profile scripts, then becomes the command. The command is an argument, never part of the script.
const LAUNCHER: &str = r#"cd /app
for script in .profile.d/*.sh; do [ -r "$script" ] && . "$script"; done
[ -r .profile ] && . ./.profile
unset script
exec /bin/bash -c "$1""#;

/// The same for one-off dynos, which people sit at: a shell that is not interactive drops `PS1`, so the prompt is given
/// anew, and the command runs in this shell, because another one would drop it again.
const ONE_OFF_LAUNCHER: &str = r#"cd /app
for script in .profile.d/*.sh; do [ -r "$script" ] && . "$script"; done
[ -r .profile ] && . ./.profile
unset script
export PS1="$2"
eval "$1""#;

/// Heroku's prompt: the folder, then a dollar sign.
const PROMPT: &str = r"\[\033[01;34m\]\w\[\033[00m\] \[\033[01;32m\]$ \[\033[00m\]";

/// The engine ends a one-off dyno when its time is over. Its supervisor does so a little later, should the engine be away.
const LIFE_MARGIN: Duration = Duration::from_secs(10);
/// The window of a terminal whose client told nothing, or nonsense (0 columns, 65,535 lines).
const WINDOW: Tty = Tty { columns: 80, rows: 24 };
const WINDOW_CELLS_MAX: u16 = 10_000;

/// What a running process of an app is made of.
pub(crate) struct Source<'a> {
    pub(crate) app: &'a App,
    pub(crate) release: &'a Release,
    pub(crate) slug: Option<&'a Slug>,
}

pub(crate) fn process_spec(settings: &Settings, source: &Source<'_>, dyno: &Dyno) -> DynoSpec {
    let mut env = base_env(source, dyno);
    let (mut attach, mut tty, mut time_to_live) = (false, None, None);
    match &dyno.worker {
        Worker::OneOff(one_off) => {
            attach = one_off.attach_hash.is_some();
            tty = (attach && !one_off.force_no_tty).then(|| window(&one_off.env));
            let asked = one_off.time_to_live_s.map(|s| Duration::from_secs(s.into()));
            let life = run_life(dyno.id, asked, settings.cycle_after);
            time_to_live = life.map(|life| life.saturating_add(LIFE_MARGIN));
            env.extend(one_off.env.iter().map(|(k, v)| (k.clone(), v.clone())));
        }
        Worker::ReleasePhase => time_to_live = Some(limits::RELEASE_PHASE_TIMEOUT),
        Worker::Formation | Worker::Build => {}
    }
    let is_web = dyno.worker == Worker::Formation && dyno.name.process_type().is_web();
    let argv: &[&str] = match dyno.worker {
        Worker::OneOff(_) => &["/bin/bash", "-c", ONE_OFF_LAUNCHER, "bash", &dyno.command, PROMPT],
        _ => &["/bin/bash", "-c", LAUNCHER, "bash", &dyno.command],
    };
    DynoSpec {
        id: dyno.id,
        generation: dyno.generation,
        app: dyno.app,
        kind: dyno.worker.kind(),
        name: dyno.name.clone(),
        stack: source.slug.map_or(&source.app.stack, |slug| &slug.stack).clone(),
        layers: source
            .slug
            .map(|slug| slug.layers.iter().map(|l| l.digest.clone()).collect())
            .unwrap_or_default(),
        mounts: Vec::new(),
        inputs: Vec::new(),
        files: Vec::new(),
        with_builder: false,
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        env,
        limits: size_limits(settings, &dyno.size, time_to_live),
        port: is_web.then_some(PORT),
        tty,
        attach,
        metered: has_feature(source.app, "log-runtime-metrics"),
    }
}

/// Config vars first: what the platform sets wins.
fn base_env(source: &Source<'_>, dyno: &Dyno) -> BTreeMap<String, Secret> {
    let config = source.release.config.iter().map(|(k, v)| (k.to_string(), v.clone()));
    let mut env: BTreeMap<String, Secret> = config.collect();
    env.entry("PATH".into()).or_insert_with(|| Secret::new("/usr/local/bin:/usr/bin:/bin"));
    env.entry("LANG".into()).or_insert_with(|| Secret::new("C.UTF-8"));
    for (name, value) in [
        ("DYNO", dyno.name.to_string()),
        ("HOME", "/app".into()),
        ("PWD", "/app".into()),
        ("PS1", PROMPT.into()),
        ("PORT", PORT.to_string()),
    ] {
        env.insert(name.into(), Secret::new(value));
    }
    if has_feature(source.app, "runtime-dyno-metadata") {
        env.extend(metadata(source, dyno));
    }
    env
}

/// A feature that is off by default.
fn has_feature(app: &App, name: &str) -> bool {
    app.features_on.iter().any(|feature| feature == name)
}

/// The app feature `runtime-dyno-metadata`. What is not known is absent, not empty.
fn metadata(source: &Source<'_>, dyno: &Dyno) -> Vec<(String, Secret)> {
    let commit = source.slug.and_then(|slug| slug.commit.clone());
    let known = [
        ("HEROKU_APP_ID", Some(source.app.id.to_string())),
        ("HEROKU_APP_NAME", Some(source.app.name.to_string())),
        ("HEROKU_DYNO_ID", Some(dyno.id.to_string())),
        (
            "HEROKU_RELEASE_CREATED_AT",
            Some(source.release.created_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        ),
        ("HEROKU_RELEASE_VERSION", Some(format!("v{}", source.release.version))),
        ("HEROKU_SLUG_COMMIT", commit),
        ("HEROKU_SLUG_DESCRIPTION", Some(source.release.description.clone())),
    ];
    known.into_iter().filter_map(|(k, v)| Some((k.to_owned(), Secret::new(v?)))).collect()
}

/// For a further process inside a dyno: what a one-off's command gets.
pub(crate) fn exec_argv(command: &str) -> Vec<String> {
    ["/bin/bash", "-c", ONE_OFF_LAUNCHER, "bash", command, PROMPT].map(str::to_owned).into()
}

pub(crate) fn window(env: &BTreeMap<String, Secret>) -> Tty {
    let cells = |name: &str| env.get(name).and_then(|value| value.expose().parse().ok());
    let sane = |cells: &u16| (1..=WINDOW_CELLS_MAX).contains(cells);
    Tty {
        columns: cells("COLUMNS").filter(sane).unwrap_or(WINDOW.columns),
        rows: cells("LINES").filter(sane).unwrap_or(WINDOW.rows),
    }
}

fn size_limits(settings: &Settings, size: &str, time_to_live: Option<Duration>) -> DynoLimits {
    let size = settings.size(size);
    DynoLimits {
        memory_bytes: size.memory_bytes(),
        cpu_shares: size.cpu_shares,
        processes_max: size.processes_max,
        open_files_max: size.open_files_max,
        disk_bytes: settings.disk_bytes(&size.name),
        time_to_live,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_nonsense_are_ordinary_ones() {
        for (columns, lines, wanted) in [
            (Some("132"), Some("40"), (132, 40)),
            (None, None, (80, 24)),
            (Some("0"), Some("65535"), (80, 24)),
            (Some("10000"), Some("10001"), (10_000, 24)),
            (Some("-1"), Some("1e3"), (80, 24)),
            (Some("wide"), Some(""), (80, 24)),
            (Some("99999999999999999999"), Some(" 7"), (80, 24)),
        ] {
            let known = [("COLUMNS", columns), ("LINES", lines)];
            let env = known.into_iter().filter_map(|(key, value)| Some((key.into(), Secret::new(value?))));
            let tty = window(&env.collect());
            assert_eq!((tty.columns, tty.rows), wanted, "{columns:?} {lines:?}");
        }
    }
}
