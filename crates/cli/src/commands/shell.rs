//! `exec` and `env`: other programs, pointed at the platform.

use std::{ffi::OsString, os::unix::process::CommandExt as _, process::Command};

use crate::{
    Environment,
    context::Context,
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

pub(crate) fn env(args: &EnvArgs, context: &Context<'_>) -> Result<(), Failure> {
    let exports = exports(&args.place, args.no_token, context.env)?;
    context.out.print(&if args.fish { exports.for_fish() } else { exports.for_sh() })
}

fn exports(place: &PlaceArgs, no_token: bool, env: &Environment) -> Result<Exports, Failure> {
    let place = Place::find(place, env)?;
    let token = place.token.as_ref().filter(|_| !no_token);
    Exports::new(&place, token, &super::own_path(), env)
}
