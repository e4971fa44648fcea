//! `renga-client`: the command line alone, for machines that run no platform. Also what the tests run as a process.

use std::process::ExitCode;

use clap::Parser;

/// Heroku's commands for a platform of your own; the platform itself is the program `renga`.
#[derive(Debug, Parser)]
#[command(name = "renga", version, max_term_width = 110, disable_help_subcommand = true)]
struct Args {
    #[command(subcommand)]
    command: renga_cli::Command,
}

fn main() -> ExitCode {
    let vars = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let environment = renga_cli::Environment { vars: vars.collect() };
    renga_cli::run(Args::parse().command, &environment)
}
