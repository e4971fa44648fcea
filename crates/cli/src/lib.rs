//! Heroku's commands under the same names, for a platform of one's own.

mod commands;
mod environment;
mod errors;
mod netrc;
mod platform;

use std::{io::Write as _, process::ExitCode};

pub use environment::Environment;

use commands::shell;
use errors::Failure;

/// What a user can ask for. The binary flattens it into its own commands.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Run a program (heroku, git, terraform, ...) that talks to this platform
    Exec(shell::ExecArgs),
    /// Print the variables that point a shell at this platform
    Env(shell::EnvArgs),
}

/// Runs one command; the code is what the process ends with.
pub fn run(command: Command, env: &Environment) -> ExitCode {
    match dispatch(command, env) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(text) = failure.text() {
                // Nobody may be left to read it.
                drop(std::io::stderr().write_all(text.as_bytes()));
            }
            failure.exit_code()
        }
    }
}

fn dispatch(command: Command, env: &Environment) -> Result<(), Failure> {
    match command {
        Command::Exec(args) => shell::exec(&args, env),
        Command::Env(args) => shell::env(&args, env),
    }
}
