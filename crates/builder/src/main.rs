//! `/renga/build`: the frame around [`renga_builder::build`].

use std::{process::ExitCode, time::SystemTime};

use renga_builder::{Log, Places, build, conclude};

#[expect(clippy::disallowed_methods, reason = "this is the binary: the clock enters here")]
fn main() -> ExitCode {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |age| age.as_secs());
    let places = Places::of_a_build_dyno();
    let mut log = Log::to_stdout();
    let outcome = build(&places, &mut log, now);
    if conclude(&places, &mut log, outcome) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
