//! Every line that the platform writes into an app's log or a push. Kept in one place because several are known only
//! from memory (`heroku-behaviour.md` marks them unsourced) and may have to change together.

use renga_model::{DynoState, Exit, ExitReason, LogLine, LogSource};

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
        DynoState::Up => "up",
        DynoState::Stopping | DynoState::Exited => "down",
    }
}

pub(crate) fn state_changed(from: &str, to: &str) -> String {
    format!("State changed from {from} to {to}")
}

pub(crate) fn starting(command: &str) -> String {
    format!("Starting process with command `{command}`")
}

pub(crate) const STOPPING: &str = "Stopping all processes with SIGTERM";
pub(crate) const KILLING: &str = "Stopping process with SIGKILL";

pub(crate) fn exited(exit: &Exit) -> String {
    format!("Process exited with status {}", exit.code)
}

/// The error line that an exit deserves besides its status.
pub(crate) fn exit_error(exit: &Exit) -> Option<String> {
    match &exit.reason {
        ExitReason::Exited => None,
        ExitReason::OutOfMemory => Some("Error R15 (Memory quota vastly exceeded)".into()),
        ExitReason::GraceOver => Some(
            "Error R12 (Exit timeout) -> At least one process failed to exit within 30 seconds of SIGTERM"
                .into(),
        ),
        ExitReason::NotStarted(cause) => {
            Some(format!("Error R99 (Platform error) -> The dyno could not be started: {cause}"))
        }
        ExitReason::NoRoom(why) => Some(format!(
            "Error R99 (Platform error) -> There is no room for the dyno now, it will be tried again: {why}"
        )),
        ExitReason::SupervisorLost => {
            Some("Error R99 (Platform error) -> The dyno's supervisor was lost".into())
        }
    }
}

pub(crate) const BOOT_TIMEOUT: &str =
    "Error R10 (Boot timeout) -> Web process failed to bind to $PORT within 60 seconds of launch";
pub(crate) const ATTACH_TIMEOUT: &str = "Error R13 (Attach error) -> Failed to attach to process";

pub(crate) fn short(commit: &str) -> &str {
    commit.get(..8).unwrap_or(commit)
}
