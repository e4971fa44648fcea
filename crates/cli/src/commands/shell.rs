//! `exec` and `env`: other programs, pointed at the platform.

use std::{ffi::OsString, io::Write as _, os::unix::process::CommandExt as _, process::Command};

use crate::{
    Environment,
    errors::Failure,
    platform::{Exports, Place, PlaceArgs},
};

/// `renga exec [--data-dir DIR] -- COMMAND [ARGS]`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga exec -- heroku create\n  renga exec -- git push heroku main\n  \
                        renga exec -- terraform apply")]
pub struct ExecArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Leave the token out, for a sign-in of your own
    #[arg(long)]
    pub no_token: bool,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// `renga env`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  eval \"$(renga env)\"\n  renga env --fish | source\n  \
                        eval \"$(renga env --no-token)\" && heroku login -i")]
pub struct EnvArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Leave the token out, for a sign-in of your own
    #[arg(long)]
    pub no_token: bool,
    /// Write for the fish shell
    #[arg(long)]
    pub fish: bool,
}

/// Returns only if the program could not be started: it takes our place.
pub(crate) fn exec(args: &ExecArgs, env: &Environment) -> Result<(), Failure> {
    let exports = exports(&args.place, args.no_token, env)?;
    let Some((program, rest)) = args.command.split_first() else {
        return Err(Failure::Usage("say what to run: renga exec -- COMMAND".into()));
    };
    let mut command = Command::new(program);
    command.args(rest);
    for name in &exports.unset {
        command.env_remove(name);
    }
    command.envs(exports.set);
    let cause = command.exec();
    Err(Failure::Program { program: program.to_string_lossy().into_owned(), cause })
}

pub(crate) fn env(args: &EnvArgs, env: &Environment) -> Result<(), Failure> {
    let exports = exports(&args.place, args.no_token, env)?;
    let text = if args.fish { exports.for_fish() } else { exports.for_sh() };
    std::io::stdout().write_all(text.as_bytes()).map_err(Failure::local("write the exports"))
}

fn exports(place: &PlaceArgs, no_token: bool, env: &Environment) -> Result<Exports, Failure> {
    let place = Place::find(place, env)?;
    let token = place.token.as_ref().filter(|_| !no_token);
    Exports::new(&place, token, &own_path(), env)
}

/// The path of this program, for others who call it.
pub(crate) fn own_path() -> String {
    std::env::current_exe().map_or_else(|_| "renga".into(), |path| path.to_string_lossy().into_owned())
}
