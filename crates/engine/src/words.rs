//! Every line that the platform writes into an app's log or a push. Kept in one place because several are known only
//! from memory (`heroku-behaviour.md` marks them unsourced) and may have to change together.

use renga_model::{
    AppName, Dyno, DynoState, Exit, ExitReason, LogLine, LogSource, MemoryUsage, Release, Tier, limits,
};
use renga_planner::{BootHint, UsageNews};

use crate::spec::PORT;

/// Of a command in a line of the log.
const COMMAND_CHARS_SHOWN_MAX: usize = 1000;

pub(crate) fn heroku(at: jiff::Timestamp, ps: impl ToString, text: impl Into<String>) -> LogLine {
    LogLine { at, source: LogSource::Heroku, ps: ps.to_string(), text: text.into() }
}

pub(crate) fn api(at: jiff::Timestamp, text: impl Into<String>) -> LogLine {
    LogLine { at, source: LogSource::App, ps: "api".into(), text: text.into() }
}

/// In minutes where that is exact.
pub(crate) fn duration(duration: std::time::Duration) -> String {
    match duration.as_secs() {
        seconds if seconds > 60 && seconds % 60 == 0 => format!("{} minutes", seconds / 60),
        seconds => format!("{seconds} seconds"),
    }
}

/// The names that Heroku's log uses for states.
pub(crate) fn state(state: DynoState) -> &'static str {
    match state {
        DynoState::Planned => "created",
        DynoState::Starting => "starting",
        DynoState::Up | DynoState::Frozen => "up",
        DynoState::Stopping | DynoState::Exited => "down",
    }
}

pub(crate) fn state_changed(from: &str, to: &str) -> String {
    format!("State changed from {from} to {to}")
}

pub(crate) fn starting(command: &str) -> String {
    format!("Starting process with command `{}`", shown(command))
}

/// One line of bounded length, whatever the command holds: nobody writes another line of ours by it.
fn shown(command: &str) -> String {
    let mut text = String::new();
    for character in command.chars().take(COMMAND_CHARS_SHOWN_MAX) {
        match character.is_control() {
            true => text.extend(character.escape_default()),
            false => text.push(character),
        }
    }
    if command.chars().nth(COMMAND_CHARS_SHOWN_MAX).is_some() {
        text.push('…');
    }
    text
}

pub(crate) const IDLING: &str = "Idling";
pub(crate) const UNIDLING: &str = "Unidling";
pub(crate) const CYCLING: &str = "Cycling";
pub(crate) const NO_ROOM: &str =
    "No memory is free for a second dyno beside this one: it stops before its successor starts";
pub(crate) const STOPPING: &str = "Stopping all processes with SIGTERM";
pub(crate) const KILLING: &str = "Stopping process with SIGKILL";

pub(crate) fn exited(exit: &Exit) -> String {
    format!("Process exited with status {}", exit.code)
}

/// Why the first web dyno of an app did not start.
pub(crate) fn web_left_out(tier: &Tier) -> String {
    format!("{} The web dyno was not started; scale another app down, then scale web up", tier.says())
}

/// The lines that an exit deserves besides its status.
pub(crate) fn exit_error(exit: &Exit, quota_bytes: u64) -> Vec<String> {
    match &exit.reason {
        ExitReason::Exited | ExitReason::Idled => Vec::new(),
        ExitReason::OutOfMemory => out_of_memory(exit.memory_peak_bytes, quota_bytes),
        ExitReason::GraceOver => vec![
            "Error R12 (Exit timeout) -> At least one process failed to exit within 30 seconds of SIGTERM"
                .into(),
        ],
        ExitReason::NotStarted(cause) => {
            vec![format!("Error R99 (Platform error) -> The dyno could not be started: {cause}")]
        }
        ExitReason::NoRoom(why) => vec![format!(
            "Error R99 (Platform error) -> There is no room for the dyno now, it will be tried again: {why}"
        )],
        ExitReason::SupervisorLost => {
            vec!["Error R99 (Platform error) -> The dyno's supervisor was lost".into()]
        }
    }
}

/// The kernel kills at twice the quota; below that it was the machine that had no memory left, which is not the app's
/// fault.
fn out_of_memory(peak_bytes: Option<u64>, quota_bytes: u64) -> Vec<String> {
    let running = peak_bytes.map(|bytes| running(bytes, quota_bytes));
    let at_limit = peak_bytes.is_none_or(|bytes| bytes >= quota_bytes.saturating_mul(2) / 20 * 19);
    let error = match at_limit {
        true => "Error R15 (Memory quota vastly exceeded)",
        false => "Error R99 (Platform error) -> The machine ran out of memory and killed the dyno",
    };
    running.into_iter().chain([error.into(), KILLING.into()]).collect()
}

/// `Process running mem=1028M(201.0%)`
fn running(bytes: u64, quota_bytes: u64) -> String {
    let tenths = u128::from(bytes) * 1000 / u128::from(quota_bytes.max(1));
    format!("Process running mem={}M({}.{}%)", bytes / MIB, tenths / 10, tenths % 10)
}

const BOOT_TIMEOUT: &str =
    "Error R10 (Boot timeout) -> Web process failed to bind to $PORT within 60 seconds of launch";

/// Heroku's line; then, where the app listens in vain, what is wrong with that.
pub(crate) fn boot_timeout(hint: Option<BootHint>) -> Vec<String> {
    let hint = hint.map(|hint| match hint {
        BootHint::LoopbackOnly(at) => format!(
            "The web process listens on {at} only, where nothing outside the dyno reaches it. Bind 0.0.0.0 or [::] \
             instead"
        ),
        BootHint::OtherPort(at) => {
            format!("The web process listens on {at}. It must listen on the port that $PORT gives, which is {PORT}")
        }
    });
    [BOOT_TIMEOUT.into()].into_iter().chain(hint).chain([KILLING.into()]).collect()
}

pub(crate) const ATTACH_TIMEOUT: &str = "Error R13 (Attach error) -> Failed to attach to process";
pub(crate) const DETACHED: &str = "Error R16 (Detached) -> An attached process is not responding to SIGHUP after its \
                                   external connection was closed.";
/// Who reaches into a dyno is told to whoever reads its log.
pub(crate) fn exec_started(command: &str, user: &str) -> String {
    format!("Starting process with command `{}` inside the running dyno by user {user}", shown(command))
}

pub(crate) fn exec_ended(code: Option<i32>) -> String {
    match code {
        Some(code) => format!("Process inside the running dyno exited with status {code}"),
        None => {
            "Client of the process inside the running dyno has gone. Sending SIGHUP to the process".into()
        }
    }
}

pub(crate) const AWAITING_CLIENT: &str = "Awaiting client";
pub(crate) const CLIENT_GONE: &str = "Client connection closed. Sending SIGHUP to all processes";

/// Keys, their order and the figures' forms are Heroku's; programs read them.
pub(crate) fn usage(dyno: &Dyno, news: &UsageNews) -> Vec<String> {
    let of = format!("source={} dyno=heroku.{}.{}", dyno.name, dyno.app, dyno.id);
    match news {
        UsageNews::Load(load) => vec![format!(
            "{of} sample#load_avg_1m={:.2} sample#load_avg_5m={:.2} sample#load_avg_15m={:.2}",
            load.minute_1, load.minutes_5, load.minutes_15
        )],
        UsageNews::Memory { memory, quota_bytes } => {
            vec![format!("{of} {}", memory_samples(memory, *quota_bytes))]
        }
        UsageNews::DiskFull(disk) => {
            let used = disk.total_bytes.saturating_sub(disk.free_bytes);
            let (used, total) = (used / MIB, disk.total_bytes / MIB);
            let why = if disk.files_free == 0 { "no more files can be made" } else { "the disk is full" };
            vec![format!(
                "Disk quota reached ({used}M of {total}M): {why}, writes fail with \"No space left on device\". A \
                 restart begins with an empty disk"
            )]
        }
        UsageNews::OverQuota { counted_bytes, quota_bytes } => {
            vec![running(*counted_bytes, *quota_bytes), "Error R14 (Memory quota exceeded)".into()]
        }
    }
}

/// Resident, cache and swap add up to the total. What the kernel does not count is absent.
fn memory_samples(memory: &MemoryUsage, quota_bytes: u64) -> String {
    let mut samples: Vec<String> = [
        ("total", memory.total_bytes()),
        ("rss", memory.resident_bytes),
        ("cache", memory.cache_bytes),
        ("swap", memory.swap_bytes),
    ]
    .map(|(name, bytes)| format!("sample#memory_{name}={}", mebibytes(bytes)))
    .into();
    if let Some(pages) = memory.pages {
        samples.push(format!("sample#memory_pgpgin={}pages", pages.pages_in));
        samples.push(format!("sample#memory_pgpgout={}pages", pages.pages_out));
    }
    samples.push(format!("sample#memory_quota={}", mebibytes(quota_bytes)));
    samples.join(" ")
}

const MIB: u64 = 1024 * 1024;

/// `21.22MB`
fn mebibytes(bytes: u64) -> String {
    format!("{}.{:02}MB", bytes / MIB, bytes % MIB * 100 / MIB)
}

// === builds, releases and the formation ===

pub(crate) const FIRST_RELEASES: [&str; 2] = ["Initial release", "Enable Logplex"];
pub(crate) const PUSHED_ELSEWHERE: &str = "Pushed to non-main|master branch, skipping build.\n";
pub(crate) const BUILDING: &str = "Compressing source files... done.\nBuilding source:\n\n";
pub(crate) const COMPRESSING: &str = "-----> Compressing...\n";
pub(crate) const BUILD_SUCCEEDED: &str = "Build succeeded";
pub(crate) const BUILD_FAILED: &str = "Build failed -- check your build output";

pub(crate) fn build_started(user: &str) -> String {
    format!("Build started by user {user}")
}

pub(crate) fn build_cancelled(user: &str) -> String {
    format!("Build cancelled by user {user}")
}

pub(crate) fn domain_added(hostname: &str, user: &str) -> String {
    format!("Add domain {hostname} by user {user}")
}

pub(crate) fn acm_enabled(user: &str) -> String {
    format!("Enable Automated Certificate Management by user {user}")
}

pub(crate) fn acm_disabled(user: &str) -> String {
    format!("Disable Automated Certificate Management by user {user}")
}

pub(crate) fn domain_removed(hostname: &str, user: &str) -> String {
    format!("Remove domain {hostname} by user {user}")
}

/// The description of a release of this commit or slug.
pub(crate) fn deploy(what: &str) -> String {
    format!("Deploy {}", short(what))
}

pub(crate) fn rollback(version: u64) -> String {
    format!("Rollback to v{version}")
}

pub(crate) fn by_user(what: &str, user: &str) -> String {
    format!("{what} by user {user}")
}

pub(crate) fn released_by(description: &str, user: &str) -> String {
    by_user(&shown(description), user)
}

/// The description of a release of other config vars.
pub(crate) fn config_changed(set: &[&str], removed: &[&str]) -> String {
    let (set, removed) = ((set.is_empty(), set.join(", ")), (removed.is_empty(), removed.join(", ")));
    match (set, removed) {
        ((false, set), (true, _)) => format!("Set {set} config vars"),
        ((true, _), (_, removed)) => format!("Remove {removed} config vars"),
        ((false, set), (false, removed)) => format!("Set {set}, remove {removed} config vars"),
    }
}

pub(crate) fn release_created(version: u64, user: &str) -> String {
    format!("Release v{version} created by user {user}")
}

pub(crate) fn release_failed(version: u64) -> String {
    format!("Release v{version} failed: the release command did not succeed")
}

pub(crate) fn scaled(formation: &str, user: &str) -> String {
    format!("Scaled to {formation} by user {user}")
}

/// The end of a build's output.
pub(crate) fn launched(slug_bytes: u64, release: &Release, url: &str) -> String {
    let mut text = format!("       Done: {}\n", slug_size(slug_bytes));
    if slug_bytes > limits::SLUG_BYTES_WARN {
        let size = slug_bytes / MIB;
        text += &format!(
            " !     Warning: Your slug size ({size} MB) exceeds our soft limit (300 MB) which may affect boot time.\n"
        );
    }
    text += "-----> Launching...\n";
    if release.command_dyno.is_some() {
        text += " !     Release command declared: this new release will not be available until the command succeeds.\n";
    }
    text + &format!("       Released v{}\n       {url} deployed to Renga\n\n", release.version)
}

pub(crate) fn slug_too_large(bytes: u64) -> String {
    format!("Compiled slug size: {} is too large (max is 500M).", slug_size(bytes))
}

pub(crate) fn push_failed(why: &str) -> String {
    format!("\n !     {why}\n\n !     Push failed\n")
}

pub(crate) fn push_rejected(app: &AppName) -> String {
    format!("Verifying deploy...\n\n!\tPush rejected to {app}.\n\n")
}

fn slug_size(bytes: u64) -> String {
    let tenths = bytes * 10 / MIB;
    match bytes {
        0..MIB => format!("{}K", bytes.div_ceil(1024)),
        _ => format!("{}.{}M", tenths / 10, tenths % 10),
    }
}

pub(crate) fn short(commit: &str) -> &str {
    commit.get(..8).unwrap_or(commit)
}

#[cfg(test)]
mod tests {
    use renga_model::{AppId, DynoId, PagesMoved, Worker};
    use renga_planner::Load;

    use super::*;

    fn dyno() -> Dyno {
        let now = jiff::Timestamp::UNIX_EPOCH;
        Dyno {
            id: DynoId::random(),
            app: AppId::random(),
            name: "web.1".parse().unwrap(),
            worker: Worker::Formation,
            release: None,
            release_version: None,
            size: "Basic".into(),
            command: String::new(),
            state: DynoState::Up,
            generation: 1,
            epoch: 1,
            address: None,
            exit: None,
            created_at: now,
            updated_at: now,
        }
    }

    #[test]
    fn a_command_is_one_line_however_it_was_written() {
        assert_eq!(starting("echo 'ü' \"x\""), "Starting process with command `echo 'ü' \"x\"`");
        assert_eq!(
            starting("a\nheroku[web.1]: b\t\u{1b}[31m"),
            r"Starting process with command `a\nheroku[web.1]: b\t\u{1b}[31m`"
        );
        let long = starting(&"ü".repeat(60_000));
        assert!(long.chars().count() < 1_100 && long.ends_with("ü…`"), "{long}");
    }

    #[test]
    fn metrics_look_like_herokus() {
        let dyno = dyno();
        let of = format!("source=web.1 dyno=heroku.{}.{} ", dyno.app, dyno.id);
        let said = |news| usage(&dyno, &news).join("\n").replace(&of, "");
        let load = Load { minute_1: 2.456, minutes_5: 1.061, minutes_15: 0.99 };
        assert_eq!(
            said(UsageNews::Load(load)),
            "sample#load_avg_1m=2.46 sample#load_avg_5m=1.06 sample#load_avg_15m=0.99"
        );
        let pages = Some(PagesMoved { pages_in: 348_836, pages_out: 343_403 });
        let mib = |hundredths: u64| (hundredths * MIB).div_ceil(100);
        let memory = MemoryUsage { resident_bytes: mib(2122), cache_bytes: 0, swap_bytes: mib(105), pages };
        let quota_bytes = 512 * MIB;
        assert_eq!(
            said(UsageNews::Memory { memory, quota_bytes }),
            "sample#memory_total=22.27MB sample#memory_rss=21.22MB sample#memory_cache=0.00MB \
             sample#memory_swap=1.05MB sample#memory_pgpgin=348836pages sample#memory_pgpgout=343403pages \
             sample#memory_quota=512.00MB"
        );
        let memory = MemoryUsage { pages: None, ..memory };
        assert!(
            said(UsageNews::Memory { memory, quota_bytes })
                .ends_with("swap=1.05MB sample#memory_quota=512.00MB")
        );
        let counted_bytes = mib(52_890);
        assert_eq!(
            said(UsageNews::OverQuota { counted_bytes, quota_bytes }),
            "Process running mem=528M(103.3%)\nError R14 (Memory quota exceeded)"
        );
    }
}
