//! What the command line says of itself: help, completion, man pages, and what is said of a word that is no command.
//!
//! All of it is read from the one description of the commands that also parses them, so that it can't fall behind.
//! Beside it stands one table, the groups of `help`; a test holds that every command is in it once.

mod completion;
mod groups;
mod help;
mod manual;
mod mistyped;
#[cfg(test)]
mod official;
mod suggestion;

use std::{ffi::OsString, io::Write as _, process::ExitCode};

use clap::{ArgMatches, error::ErrorKind};

use crate::{Environment, context::Context, plain};
use completion::Shell;
pub use groups::misplaced;

/// What was typed can't be meant; the official command line ends with the same code.
const EXIT_MISTYPED: u8 = 2;
/// As shells say that there is no such command.
const EXIT_NOT_FOUND: u8 = 127;

// What is asked of the command line itself. The binary flattens it into its commands.
#[derive(Debug, clap::Subcommand)]
#[command(next_help_heading = "This tool")]
pub enum FaceCommand {
    /// Show what a command or a group of them is for
    #[command(after_help = "Examples:\n  renga help\n  renga help ps\n  renga help ps:scale")]
    Help {
        /// A command, or what stands before the colon of several
        command: Option<String>,
    },
    /// Print a shell's completion of commands, flags and app names
    #[command(
        after_help = "Examples:\n  renga completion bash > /etc/bash_completion.d/renga\n  renga completion zsh > ~/.zfunc/_renga\n  renga completion fish > ~/.config/fish/completions/renga.fish"
    )]
    Completion { shell: Shell },
    /// Write the man pages to a directory
    #[command(after_help = "Examples:\n  renga man /usr/local/share/man/man1")]
    Man {
        #[arg(value_name = "DIR")]
        directory: std::path::PathBuf,
    },
    /// Answer a shell's completion; called by what `completion` prints
    #[command(hide = true)]
    Complete {
        /// Words of the command line, the last one unfinished
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
}

/// What was typed, or the code to end with: then everything has been said, and done if it was a plain command.
pub fn parse(
    command: clap::Command,
    words: Vec<OsString>,
    env: &Environment,
) -> Result<ArgMatches, ExitCode> {
    let typed: Vec<String> = words.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    if typed.is_empty() || typed == ["--help"] || typed == ["-h"] {
        return Err(say(&help::overview(command.subcommands(plain::commands()), env)));
    }
    let command = command.subcommands(plain::commands());
    let described = command.clone();
    let parsed = command.try_get_matches_from(words).map_err(|error| {
        if error.kind() == ErrorKind::InvalidSubcommand {
            let word = typed.iter().find(|word| !word.starts_with('-')).map_or("", String::as_str);
            complain(&suggestion::unknown(&described, word));
            return ExitCode::from(EXIT_NOT_FOUND);
        }
        // Help and versions are "errors" to clap, which are no failure.
        if !error.use_stderr() {
            error.print().ok();
            return ExitCode::SUCCESS;
        }
        let names = |word: &&String| described.find_subcommand(word.as_str()).is_some();
        complain(&mistyped::text(&error, typed.iter().find(names).map(String::as_str)));
        ExitCode::from(EXIT_MISTYPED)
    })?;
    let context = Context::new(env, jiff::Timestamp::now());
    match parsed.subcommand().and_then(|(name, matches)| plain::run(name, matches, &context)) {
        Some(result) => Err(crate::ended(result)),
        None => Ok(parsed),
    }
}

/// Runs one of them; `command` describes all commands of the program.
pub fn run_face(asked: FaceCommand, command: clap::Command, env: &Environment) -> ExitCode {
    let mut command = command.subcommands(plain::commands());
    match asked {
        FaceCommand::Help { command: None } => say(&help::overview(command, env)),
        FaceCommand::Help { command: Some(word) } => match help::about(&mut command, &word) {
            Some(text) => say(&text),
            None => {
                complain(&suggestion::unknown(&command, &word));
                ExitCode::from(EXIT_NOT_FOUND)
            }
        },
        FaceCommand::Completion { shell } => say(shell.script()),
        FaceCommand::Complete { words } => {
            let apps = || crate::commands::apps::names(env);
            say(&completion::answer(command, &words, apps))
        }
        FaceCommand::Man { directory } => match manual::write(command, &directory) {
            Ok(count) => say(&format!("Wrote {count} pages to {}. Try: man renga\n", directory.display())),
            Err(error) => {
                complain(&format!(" ›   Error: Could not write to {}: {error}\n", directory.display()));
                ExitCode::FAILURE
            }
        },
    }
}

fn say(text: &str) -> ExitCode {
    // A closed pipe (`| head`) is no failure of ours.
    drop(std::io::stdout().write_all(text.as_bytes()));
    ExitCode::SUCCESS
}

fn complain(text: &str) {
    drop(std::io::stderr().write_all(text.as_bytes()));
}
