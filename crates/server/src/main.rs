//! `renga`: the server in its roles, and the command line. This crate joins the rooms: configuration, composition,
//! roles and signals, and nothing that decides.
//!
//! ```text
//! renga up ──┬── renga node     root; mounts, cgroups, networks, supervisors; one Unix socket, no network
//!            ├── renga server   own user; API, git, engine, logs, rendezvous
//!            └── renga router   own user; traffic and its table
//! ```

mod authority;
mod backup;
mod bundle;
mod config;
mod doctor;
mod endpoints;
mod first_start;
mod git_face;
mod install;
mod instance;
mod layout;
mod listen;
mod roles;
mod router_status;
mod sockets;
mod trace;
mod upgrade;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{CommandFactory as _, FromArgMatches as _, Parser};

use crate::{config::Config, roles::RoleArgs};

/// The Heroku you own: git push, buildpacks, slugs, releases, dynos, router and logs from one program.
#[derive(Debug, Parser)]
#[command(name = "renga", version, about, max_term_width = 110, disable_help_subcommand = true)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Start the platform: node, server and router
    Up(RoleArgs),
    /// One role: API, git, engine and logs
    Server(RoleArgs),
    /// One role: runs dynos (root)
    Node(RoleArgs),
    /// One role: HTTP traffic
    Router(RoleArgs),
    /// How the router is: its table, connections and requests, and its metrics (root)
    #[command(name = "router:status")]
    RouterStatus(router_status::StatusArgs),
    /// Write systemd units that start the platform at boot
    Install(install::InstallArgs),
    /// Put this build in the place of the one that runs, without stopping apps (root)
    Upgrade(upgrade::UpgradeArgs),
    /// Tell what this machine lacks, what that weakens, and what to do
    Doctor(doctor::DoctorArgs),
    /// End all dynos of an instance and remove it with everything it holds (root)
    Uninstall(UninstallArgs),
    /// Write the whole platform (ledger, keys, git, slugs) to one file, while it runs (root)
    Backup(backup::BackupArgs),
    /// Put up a platform from a backup, in an empty data directory (root)
    Restore(backup::RestoreArgs),
    #[command(flatten)]
    Face(renga_cli::FaceCommand),
    #[command(flatten)]
    User(renga_cli::Command),
}

#[derive(Debug, clap::Args)]
struct UninstallArgs {
    #[command(flatten)]
    config: config::ConfigArgs,
    /// Without this nothing is removed
    #[arg(long)]
    yes: bool,
}

/// A command line or configuration that can't be meant (sysexits.h, EX_USAGE).
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    // Git starts us by this name as its hook.
    let name = std::env::args_os().next().unwrap_or_default();
    if std::path::Path::new(&name).file_name().is_some_and(|name| name == renga_git::HOOK_NAME) {
        return renga_git::proc_receive_main();
    }
    let environment = config::user_environment();
    let parsed = renga_cli::parse(Args::command(), std::env::args_os().collect(), &environment);
    match parsed.map(|matches| Args::from_arg_matches(&matches)) {
        Err(code) => code,
        Ok(Err(error)) => error.exit(),
        Ok(Ok(args)) => run(args.command, &environment),
    }
}

fn run(command: Command, environment: &renga_cli::Environment) -> ExitCode {
    match command {
        Command::Up(args) => role("up", &args),
        Command::Server(args) => role("server", &args),
        Command::Node(args) => role("node", &args),
        Command::Router(args) => role("router", &args),
        Command::Install(args) => match Config::read(&args.config) {
            Ok(config) => told(install::run(&args, &config)),
            Err(mistakes) => usage(&mistakes),
        },
        Command::RouterStatus(args) => match Config::read(&args.config) {
            Ok(config) => told(router_status::run(&args, &config)),
            Err(mistakes) => usage(&mistakes),
        },
        Command::Doctor(args) => match Config::read(&args.config) {
            Ok(config) => examined(doctor::run(&args, &config)),
            Err(mistakes) => usage(&mistakes),
        },
        Command::Uninstall(args) => match Config::read(&args.config) {
            Ok(config) => told(uninstall(&config, args.yes)),
            Err(mistakes) => usage(&mistakes),
        },
        Command::Upgrade(args) => match Config::read(&args.config) {
            Ok(config) => told(upgrade::run(&config)),
            Err(mistakes) => usage(&mistakes),
        },
        Command::Backup(args) => match Config::read(&args.config) {
            Ok(config) => told(backup::backup(&args, &config)),
            Err(mistakes) => usage(&mistakes),
        },
        Command::Restore(args) => match Config::read(&args.config) {
            Ok(config) => told(backup::restore(&args, &config)),
            Err(mistakes) => usage(&mistakes),
        },
        Command::Face(asked) => renga_cli::run_face(asked, Args::command(), environment),
        Command::User(command) => renga_cli::run(command, environment),
    }
}

fn uninstall(config: &Config, yes: bool) -> Result<String> {
    let data_dir = config.data_dir.display();
    if !yes {
        anyhow::bail!(
            "this ends every dyno and removes all apps in {data_dir}; stop the platform, then say it with --yes"
        );
    }
    roles::node::uninstall(config)?;
    Ok(format!("Removed {data_dir} and everything that it had on this machine.\n"))
}

fn role(name: &str, args: &RoleArgs) -> ExitCode {
    let config = match Config::read(&args.config) {
        Ok(config) => config,
        Err(mistakes) => return usage(&mistakes),
    };
    if args.check {
        return told(Ok("The configuration is good.\n".into()));
    }
    trace::start(args.verbose);
    if args.end_with_parent {
        let with_parent =
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM));
        if let Err(refused) = with_parent {
            tracing::warn!("could not bind our life to our parent's: {refused}");
        }
    }
    match start(name, &config, args.sockets) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            tracing::error!("renga {name}: {failed:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(name: &str, config: &Config, sockets_come: bool) -> Result<()> {
    let mut runtime = match name {
        // These two mostly wait; the server and the node have work for every core.
        "up" | "router" => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = runtime.enable_all().thread_name(format!("renga-{name}")).build()?;
    runtime
        .block_on(async {
            match name {
                "up" => roles::up::run(config, &flags_after_role(), sockets_come).await,
                "server" => roles::server::run(config).await,
                "node" => roles::node::run(config).await,
                _ => roles::router::run(config, sockets_come).await,
            }
        })
        .with_context(|| format!("data directory {}", config.data_dir.display()))
}

/// What `renga up` was called with, for its children: they read the same configuration.
fn flags_after_role() -> Vec<String> {
    std::env::args().skip(2).filter(|flag| flag != roles::SOCKETS_FLAG).collect()
}

fn usage(mistakes: &[String]) -> ExitCode {
    say(&format!("The configuration has {} mistake(s); nothing was started.\n", mistakes.len()));
    mistakes.iter().for_each(|mistake| say(&format!("  - {mistake}\n")));
    ExitCode::from(EXIT_USAGE)
}

fn examined(result: Result<(String, bool)>) -> ExitCode {
    match result {
        Ok((text, true)) => told(Ok(text)),
        Ok((text, false)) => {
            told(Ok(text));
            ExitCode::FAILURE
        }
        Err(failed) => told(Err(failed)),
    }
}

fn told(result: Result<String>) -> ExitCode {
    use std::io::Write as _;
    match result {
        Ok(text) => {
            // A closed pipe (`| head`) is no failure of ours.
            drop(std::io::stdout().write_all(text.as_bytes()));
            ExitCode::SUCCESS
        }
        Err(failed) => {
            say(&format!("renga: {failed:#}\n"));
            ExitCode::FAILURE
        }
    }
}

fn say(text: &str) {
    use std::io::Write as _;
    drop(std::io::stderr().write_all(text.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_one_place_in_the_help() {
        Args::command().debug_assert();
        assert_eq!(renga_cli::misplaced(Args::command()), [""; 0]);
    }
}
