//! `local` and `local:run`.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    dotenv,
    plan::{PORT_FIRST, plan},
    supervise::supervise,
};
use crate::{context::Context, errors::Failure};

/// `local`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  renga local\n  renga local web worker\n  renga local --procfile Procfile.dev --env .env.dev\n  \
                        renga local --concurrency web=2,worker=1 --port 7000\n\n\
                        Ports start at 5000 and grow by 100 from type to type. Ctrl-C stops everything."
)]
pub struct LocalArgs {
    /// Process types to run; all but release if left out
    #[arg(value_name = "TYPE", value_delimiter = ',')]
    pub types: Vec<String>,
    /// Procfile to use
    #[arg(short = 'f', long, default_value = "Procfile", value_name = "FILE")]
    pub procfile: PathBuf,
    /// Files with environment variables, later ones winning
    #[arg(short, long, default_value = ".env", value_delimiter = ',', value_name = "FILE")]
    pub env: Vec<PathBuf>,
    /// First port
    #[arg(short, long, default_value_t = PORT_FIRST)]
    pub port: u16,
    /// How many of each type, as web=2,worker=1
    #[arg(short = 'm', long, visible_alias = "formation", value_name = "FORMATION")]
    pub concurrency: Option<String>,
}

/// `local:run`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  renga local:run bin/migrate\n  renga local:run --env .env.test -- pytest -q"
)]
pub struct LocalRunArgs {
    /// Files with environment variables, later ones winning
    #[arg(short, long, default_value = ".env", value_delimiter = ',', value_name = "FILE")]
    pub env: Vec<PathBuf>,
    /// Value of PORT
    #[arg(short, long, default_value_t = PORT_FIRST)]
    pub port: u16,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// `local:version`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga local:version")]
pub struct LocalVersionArgs {}

pub(crate) fn local(context: &Context<'_>, args: &LocalArgs) -> Result<(), Failure> {
    let procfile = fs::read_to_string(&args.procfile)
        .map_err(|cause| Failure::Procfile { file: args.procfile.clone(), cause })?;
    let vars = read_env(&args.env)?;
    let port = vars.get("PORT").and_then(|port| port.parse().ok()).filter(|_| args.port == PORT_FIRST);
    let processes = plan(&procfile, &args.types, args.concurrency.as_deref(), port.unwrap_or(args.port))
        .map_err(|wrong| Failure::Usage(wrong.to_string()))?;
    supervise(context, &processes, &vars)
}

/// The command takes our place; one word is a line for the shell, as in `heroku local:run`.
pub(crate) fn local_run(args: &LocalRunArgs) -> Result<(), Failure> {
    let vars = read_env(&args.env)?;
    let Some((program, rest)) = args.command.split_first() else {
        return Err(Failure::Usage("say what to run: renga local:run COMMAND".into()));
    };
    let mut command = match rest {
        [] => shell(program),
        rest => {
            let mut command = Command::new(program);
            command.args(rest);
            command
        }
    };
    let cause = command.env("PORT", args.port.to_string()).envs(vars).exec();
    Err(Failure::Program { program: program.clone(), cause })
}

/// A line of the Procfile is written for a shell; it is the user's own, on the user's own machine.
pub(super) fn shell(line: &str) -> Command {
    let bash = ["/bin/bash", "/usr/bin/bash"].into_iter().find(|path| Path::new(path).exists());
    let mut command = Command::new(bash.unwrap_or("/bin/sh"));
    command.args(["-c", line]);
    command
}

/// A missing `.env` is none; a missing file that was asked for by name is a mistake.
fn read_env(files: &[PathBuf]) -> Result<BTreeMap<String, String>, Failure> {
    let mut vars = BTreeMap::new();
    for file in files {
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(missing) if missing.kind() == io::ErrorKind::NotFound && file == Path::new(".env") => {
                continue;
            }
            Err(cause) => return Err(Failure::EnvFile { file: file.clone(), cause }),
        };
        let read = dotenv::parse(&text).map_err(|line| Failure::EnvLine { file: file.clone(), line })?;
        vars.extend(read);
    }
    Ok(vars)
}
