//! Heroku's commands under the same names, for a platform of one's own.

mod environment;

use std::process::ExitCode;

pub use environment::Environment;

/// What a user can ask for. The binary flattens it into its own commands.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Run a command that talks to this platform
    Exec(ExecArgs),
}

#[derive(Debug, clap::Args)]
pub struct ExecArgs {
    /// The command and its arguments
    #[arg(trailing_var_arg = true, required = true)]
    command: Vec<String>,
}

/// Runs one command; the code is what the process ends with.
pub fn run(command: Command, env: &Environment) -> ExitCode {
    match command {
        Command::Exec(args) => ExitCode::from(u8::from(args.command.is_empty() || env.vars.is_empty())),
    }
}
