//! `renga-client`: the command line alone, for machines that run no platform. Also what the tests run as a process.

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser};

/// Heroku's commands for a platform of your own; the platform itself is the program `renga`.
#[derive(Debug, Parser)]
#[command(name = "renga", version, max_term_width = 110, disable_help_subcommand = true)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    #[command(flatten)]
    Face(renga_cli::FaceCommand),
    #[command(flatten)]
    User(renga_cli::Command),
}

fn main() -> ExitCode {
    let vars = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let environment = renga_cli::Environment { vars: vars.collect() };
    let parsed = renga_cli::parse(Args::command(), std::env::args_os().collect(), &environment);
    match parsed.map(|matches| Args::from_arg_matches(&matches)) {
        Err(code) => code,
        Ok(Err(error)) => error.exit(),
        Ok(Ok(Args { command: Command::Face(asked) })) => {
            renga_cli::run_face(asked, Args::command(), &environment)
        }
        Ok(Ok(Args { command: Command::User(command) })) => renga_cli::run(command, &environment),
    }
}
