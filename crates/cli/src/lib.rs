//! Heroku's commands under the same names, for a platform of one's own: what the binary `renga` is to its users.
//!
//! ```text
//! what was typed ─clap─> Command ─┐
//! the environment ────────────────┴─> Context ─> Place (where, who) ─> Client (API) ─> shown, or Failure (words)
//!                                        ├─> exec, env, connect    other programs are pointed at the platform
//!                                        ├─> run                   a terminal, at the other end of a rendezvous
//!                                        └─> local                 no platform at all
//! ```
//!
//! Every command is a straight line: find the platform, ask it, show the answer. Results go to stdout, progress to
//! stderr, and everything that a user reads on failure stands in `errors`. Exit codes: 0, the command's own code for what
//! runs commands, 2 for a refusal of the API and for flags that can't be meant, 64 for values that can't, 1 for the rest.
//!
//! The crate refuses to read the environment (the binary hands it over), to start a runtime (it blocks, and starts in
//! milliseconds), to retry what failed, and to decide anything that the platform decides.

mod app;
mod attach;
mod client;
mod commands;
mod connect;
mod context;
mod environment;
mod errors;
mod face;
mod git;
mod local;
mod netrc;
mod output;
mod plain;
mod platform;
mod terminal;
mod tls;

use std::{io::Write as _, process::ExitCode};

pub use connect::HEROKU_HOSTS;
pub use environment::Environment;
pub use face::{FaceCommand, misplaced, parse, run_face};

use commands::{
    apps, buildpacks, config, dynos, keys, labs, logs, people, releases, repository, session, shell, status,
    two_factor, users, waiting, why,
};
use context::Context;
use errors::Failure;

// What a user can ask for. The binary flattens it into its own commands; a doc comment would become its description.
#[derive(Debug, clap::Subcommand)]
#[rustfmt::skip]
pub enum Command {
    /// Run a program (heroku, git, terraform, ...) that talks to this platform
    Exec(shell::ExecArgs),
    /// Print the variables that point a shell at this platform
    Env(shell::EnvArgs),
    /// Connect to a platform on another machine
    Connect(connect::ConnectArgs),

    /// Sign in; the token is kept in ~/.netrc
    #[command(visible_alias = "auth:login")]
    Login(session::LoginArgs),
    /// Forget the token in ~/.netrc
    #[command(visible_alias = "auth:logout")]
    Logout(session::SessionArgs),
    /// Show who you are to the platform
    #[command(name = "auth:whoami", visible_alias = "whoami")]
    Whoami(session::SessionArgs),
    /// Print the token that commands use
    #[command(name = "auth:token")]
    Token(session::SessionArgs),

    /// Show whether logging in takes a code of your device
    #[command(name = "auth:2fa", visible_aliases = ["2fa", "twofactor"])]
    TwoFactor(two_factor::StatusArgs),
    /// Have logging in take a code of your device
    #[command(name = "auth:2fa:enable", visible_alias = "2fa:enable")]
    TwoFactorEnable(two_factor::SwitchArgs),
    /// Log in with the password alone again
    #[command(name = "auth:2fa:disable", visible_aliases = ["2fa:disable", "twofactor:disable"])]
    TwoFactorDisable(two_factor::SwitchArgs),

    /// Manage the accounts of this platform (operator)
    Users(users::UsersArgs),

    /// Add a public key to your account
    #[command(name = "keys:add")]
    KeysAdd(keys::AddArgs),
    /// Remove all public keys of your account
    #[command(name = "keys:clear")]
    KeysClear(keys::ClearArgs),

    /// List features of your account, and of an app
    Labs(labs::ListArgs),
    /// Show what a feature does
    #[command(name = "labs:info")]
    LabsInfo(labs::InfoArgs),
    /// Switch a feature on
    #[command(name = "labs:enable")]
    LabsEnable(labs::SwitchArgs),
    /// Switch a feature off
    #[command(name = "labs:disable")]
    LabsDisable(labs::SwitchArgs),

    /// List a team's members
    Members(people::MembersArgs),

    /// Show what the platform says of itself
    Status(status::StatusArgs),

    /// List your apps
    #[command(visible_alias = "apps:list", alias = "list")]
    Apps(apps::ListArgs),
    /// Create an app, and a git remote for it
    #[command(visible_alias = "apps:create")]
    Create(apps::CreateArgs),
    /// Show what an app is
    #[command(visible_alias = "apps:info")]
    Info(apps::InfoArgs),
    /// Open an app in a browser
    #[command(visible_alias = "apps:open")]
    Open(apps::OpenArgs),
    /// Give an app another name
    #[command(name = "apps:rename", visible_alias = "rename")]
    Rename(apps::RenameArgs),
    /// Delete an app for good
    #[command(visible_aliases = ["apps:destroy", "apps:delete"])]
    Destroy(apps::DestroyArgs),
    /// Give an app to somebody else, or to a team
    #[command(name = "apps:transfer")]
    Transfer(people::TransferArgs),
    /// Show whether an app is in maintenance mode
    Maintenance(apps::MaintenanceArgs),
    /// Show a maintenance page instead of the app
    #[command(name = "maintenance:on")]
    MaintenanceOn(apps::MaintenanceArgs),
    /// Show the app again
    #[command(name = "maintenance:off")]
    MaintenanceOff(apps::MaintenanceArgs),
    /// List the host names of an app
    Domains(apps::DomainsArgs),
    /// Remove all host names of an app but its own
    #[command(name = "domains:clear")]
    DomainsClear(apps::DomainsClearArgs),

    /// Add a git remote for an app to this repository
    #[command(name = "git:remote")]
    GitRemote(repository::RemoteArgs),
    /// Clone an app's repository
    #[command(name = "git:clone")]
    GitClone(repository::CloneArgs),
    /// Tell git the token; called by git
    #[command(name = "git:credentials")]
    GitCredentials(repository::CredentialsArgs),

    /// List an app's dynos
    Ps(dynos::ListArgs),
    /// Set how many dynos of which size run, or show it
    #[command(name = "ps:scale", visible_aliases = ["scale", "dyno:scale"])]
    Scale(dynos::ScaleArgs),
    /// Set the size of dynos, or show it
    #[command(name = "ps:type", visible_aliases = ["ps:resize", "resize", "dyno:resize", "dyno:type"])]
    Resize(dynos::TypeArgs),
    /// Restart all dynos, those of a type, or one
    #[command(name = "ps:restart", visible_aliases = ["restart", "dyno:restart"])]
    Restart(dynos::WhichArgs),
    /// Stop a dyno, or those of a type
    #[command(name = "ps:stop", visible_aliases = ["stop", "ps:kill", "kill", "dyno:stop", "dyno:kill"])]
    Stop(dynos::WhichArgs),

    /// Wait until all dynos run the newest release
    #[command(name = "ps:wait")]
    Wait(waiting::WaitArgs),

    /// Run a command, or a shell, inside a dyno that runs
    #[command(name = "ps:exec")]
    PsExec(attach::ExecArgs),

    /// Tell why dynos are as they are: wanted, seen, and what was decided
    Why(why::WhyArgs),

    /// Show an app's log
    Logs(logs::LogsArgs),
    /// Run a command in a dyno of its own, attached to this terminal
    Run(attach::RunArgs),
    /// Run a command in a dyno of its own, and leave it alone
    #[command(name = "run:detached")]
    RunDetached(attach::RunArgs),

    /// Run a command inside a dyno that runs
    #[command(name = "run:inside")]
    RunInside(attach::InsideArgs),

    /// List an app's config vars
    Config(config::ListArgs),
    /// Set config vars and restart
    #[command(name = "config:set", visible_alias = "config:add")]
    ConfigSet(config::SetArgs),
    /// Print the values of config vars
    #[command(name = "config:get")]
    ConfigGet(config::GetArgs),
    /// Unset config vars and restart
    #[command(name = "config:unset", visible_alias = "config:remove")]
    ConfigUnset(config::UnsetArgs),
    /// Edit config vars in your editor
    #[command(name = "config:edit")]
    ConfigEdit(config::EditArgs),

    /// List an app's releases
    Releases(releases::ListArgs),
    /// Show a release and its config vars
    #[command(name = "releases:info")]
    ReleaseInfo(releases::InfoArgs),
    /// Show what the release command printed
    #[command(name = "releases:output")]
    ReleaseOutput(releases::ReleaseArgs),
    /// Run the release command of the newest release again, as a new release
    #[command(name = "releases:retry")]
    ReleaseRetry(releases::RetryArgs),
    /// Go back to an earlier release
    #[command(visible_alias = "releases:rollback")]
    Rollback(releases::ReleaseArgs),

    /// List an app's buildpacks
    Buildpacks(buildpacks::ListArgs),
    /// Add a buildpack
    #[command(name = "buildpacks:add")]
    BuildpackAdd(buildpacks::OneArgs),
    /// Set the buildpack at a place of the list, the first if none is named
    #[command(name = "buildpacks:set")]
    BuildpackSet(buildpacks::OneArgs),
    /// Remove a buildpack
    #[command(name = "buildpacks:remove")]
    BuildpackRemove(buildpacks::RemoveArgs),
    /// Remove all buildpacks: the next build finds its own
    #[command(name = "buildpacks:clear")]
    BuildpacksClear(buildpacks::ClearArgs),

    /// Run the app on this machine, by its Procfile
    #[command(visible_alias = "local:start")]
    Local(local::LocalArgs),
    /// Run one command on this machine with the app's .env
    #[command(name = "local:run")]
    LocalRun(local::LocalRunArgs),
    /// Show the version of this tool
    #[command(name = "local:version")]
    LocalVersion(local::LocalVersionArgs),
}

/// Runs one command; the code is what the process ends with.
pub fn run(command: Command, env: &Environment) -> ExitCode {
    ended(dispatch(command, &Context::new(env, jiff::Timestamp::now())))
}

fn ended(result: Result<(), Failure>) -> ExitCode {
    let Err(failure) = result else { return ExitCode::SUCCESS };
    if let Some(text) = failure.text() {
        // Nobody may be left to read it.
        drop(std::io::stderr().write_all(text.as_bytes()));
    }
    failure.exit_code()
}

#[rustfmt::skip]
fn dispatch(command: Command, context: &Context<'_>) -> Result<(), Failure> {
    match &command {
        Command::Exec(args) => shell::exec(args, context.env),
        Command::Env(args) => shell::env(args, context),
        Command::Connect(args) => connect::connect(context, args),
        Command::Login(args) => session::login(context, args),
        Command::Logout(args) => session::logout(context, args),
        Command::Whoami(args) => session::whoami(context, args),
        Command::Token(args) => session::token(context, args),
        Command::TwoFactor(args) => two_factor::status(context, args),
        Command::TwoFactorEnable(args) => two_factor::enable(context, args),
        Command::TwoFactorDisable(args) => two_factor::disable(context, args),
        Command::Users(args) => users::users(context, args),
        Command::KeysAdd(args) => keys::add(context, args),
        Command::KeysClear(args) => keys::clear(context, args),
        Command::Labs(args) => labs::list(context, args),
        Command::LabsInfo(args) => labs::info(context, args),
        Command::LabsEnable(args) => labs::switch(context, args, true),
        Command::LabsDisable(args) => labs::switch(context, args, false),
        Command::Members(args) => people::members(context, args),
        Command::Status(args) => status::status(context, args),
        Command::Apps(args) => apps::list(context, args),
        Command::Create(args) => apps::create(context, args),
        Command::Info(args) => apps::info(context, args),
        Command::Open(args) => apps::open(context, args),
        Command::Rename(args) => apps::rename(context, args),
        Command::Destroy(args) => apps::destroy(context, args),
        Command::Transfer(args) => people::transfer(context, args),
        Command::Maintenance(args) => apps::maintenance(context, args),
        Command::MaintenanceOn(args) => apps::maintenance_set(context, args, true),
        Command::MaintenanceOff(args) => apps::maintenance_set(context, args, false),
        Command::Domains(args) => apps::domains(context, args),
        Command::DomainsClear(args) => apps::domains_clear(context, args),
        Command::GitRemote(args) => repository::remote(context, args),
        Command::GitClone(args) => repository::clone(context, args),
        Command::GitCredentials(args) => repository::credentials(context, args),
        Command::Ps(args) => dynos::list(context, args),
        Command::Scale(args) => dynos::scale(context, args),
        Command::Resize(args) => dynos::resize(context, args),
        Command::Restart(args) => dynos::restart(context, args),
        Command::Stop(args) => dynos::stop(context, args),
        Command::Wait(args) => waiting::wait(context, args),
        Command::PsExec(args) => attach::exec(context, args),
        Command::Why(args) => why::why(context, args),
        Command::Logs(args) => logs::logs(context, args),
        Command::Run(args) => attach::run(context, args),
        Command::RunDetached(args) => attach::run_detached(context, args),
        Command::RunInside(args) => attach::inside(context, args),
        Command::Config(args) => config::list(context, args),
        Command::ConfigSet(args) => config::set(context, args),
        Command::ConfigGet(args) => config::get(context, args),
        Command::ConfigUnset(args) => config::unset(context, args),
        Command::ConfigEdit(args) => config::edit(context, args),
        Command::Releases(args) => releases::list(context, args),
        Command::ReleaseInfo(args) => releases::info(context, args),
        Command::ReleaseOutput(args) => releases::output(context, args),
        Command::ReleaseRetry(args) => releases::retry(context, args),
        Command::Rollback(args) => releases::rollback(context, args),
        Command::Buildpacks(args) => buildpacks::list(context, args),
        Command::BuildpackAdd(args) => buildpacks::add(context, args),
        Command::BuildpackSet(args) => buildpacks::set(context, args),
        Command::BuildpackRemove(args) => buildpacks::remove(context, args),
        Command::BuildpacksClear(args) => buildpacks::clear(context, args),
        Command::Local(args) => local::local(context, args),
        Command::LocalRun(args) => local::local_run(args),
        Command::LocalVersion(_) => context.out.print(concat!(env!("CARGO_PKG_VERSION"), "\n")),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    #[derive(Debug, Parser)]
    struct Args {
        #[command(subcommand)]
        command: super::Command,
    }

    #[test]
    fn every_command_says_what_it_is_for_and_shows_how() {
        let command = Args::command().subcommands(super::plain::commands());
        command.clone().debug_assert();
        for command in command.get_subcommands() {
            let (name, about) =
                (command.get_name(), command.get_about().map(ToString::to_string).unwrap_or_default());
            assert!(!about.is_empty() && about.len() < 80 && !about.contains('\n'), "{name}: {about:?}");
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.starts_with("Examples:\n  "), "{name} shows no examples");
        }
    }

    #[test]
    fn what_heroku_users_type_is_understood() {
        for line in [
            "apps",
            "create",
            "create times --remote staging --stack host",
            "apps:create times --json",
            "info -a times -s",
            "config:set A=1 B=2 -a times",
            "config:get A",
            "config:unset A B",
            "config -s",
            "config:edit",
            "ps",
            "ps web worker",
            "ps:scale web=2 worker+1",
            "scale web=1",
            "ps:restart web.1",
            "restart",
            "ps:stop --dyno-name run.1",
            "ps:type web=basic",
            "ps:exec",
            "ps:exec -a times -d worker.2 -- ls -l",
            "ps:exec cat a.txt -a times --dyno web.2",
            "why",
            "why web.1 -a times --json",
            "dyno:restart",
            "logs -t -n 50 -s app -p web",
            "logs --ps web",
            "run bash",
            "run -x -a times -- rake -T",
            "run:detached -t rake",
            "run bash -a times",
            "releases -n 3",
            "releases:info v3",
            "rollback v2",
            "releases:output",
            "destroy -a times --confirm times",
            "domains",
            "maintenance:on",
            "buildpacks:add -i 1 heroku/nodejs",
            "buildpacks:remove -i 1",
            "git:remote -a times",
            "git:credentials get",
            "local",
            "local web -p 7000 -f Procfile.dev -e .env,.env.dev",
            "local:run -- a -b",
            "exec -- heroku apps --json",
            "exec heroku apps --json",
            "env --no-token",
            "login -i",
            "whoami",
            "2fa",
            "auth:2fa:enable",
            "2fa:disable",
            "users",
            "users disable-two-factor ada@example.com",
            "users list --json",
            "users add ada@example.com",
            "users add ada@example.com --password-file p",
            "users disable ada@example.com",
            "users enable ada@example.com",
            "users reset-password ada@example.com",
            "connect https://paas.example --fingerprint 0000000000000000000000000000000000000000000000000000000000000000",
        ] {
            let words = std::iter::once("renga").chain(line.split(' '));
            assert!(
                Args::try_parse_from(words).is_ok(),
                "{line}: {:?}",
                Args::try_parse_from(line.split(' ')).err()
            );
        }
    }
}
