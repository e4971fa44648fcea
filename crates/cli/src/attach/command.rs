//! `run` and `run:detached`.

use std::collections::BTreeMap;

use renga_wire::{Dyno, DynoCreate, DynoExec, EnvValue, Formation, LogSessionCreate};

use super::{
    session::{Attached, Ended},
    status,
    window::Meeting,
};
use crate::{
    app::AppArgs,
    client::segment,
    commands::logs,
    context::{Context, OnApp},
    errors::Failure,
    terminal, tls,
};

/// The port of a rendezvous that names none.
const RENDEZVOUS_PORT: u16 = 5000;

/// `run` and `run:detached`
#[derive(Debug, Clone, Default, clap::Args)]
#[command(
    after_help = "Examples:\n  renga run bash -a times\n  renga run -- python manage.py migrate --noinput\n  \
                        renga run --size standard-2x --env \"DEBUG=1;LEVEL=2\" rake task\n  \
                        renga run --no-tty pg_dump > dump.sql\n  renga run:detached rake reindex\n\n\
                        Flags of this command may stand behind the command, as with heroku; what follows -- belongs to \
                        the command.\nThe exit code is the command's."
)]
pub struct RunArgs {
    #[command(flatten)]
    pub app: AppArgs,
    /// Size of the dyno
    #[arg(short, long)]
    pub size: Option<String>,
    /// Process type whose name the dyno has
    #[arg(long, value_name = "TYPE")]
    pub r#type: Option<String>,
    /// Environment variables, as A=1;B=2
    #[arg(short, long, value_name = "VARS")]
    pub env: Option<String>,
    /// No terminal: bytes go through as they are
    #[arg(long)]
    pub no_tty: bool,
    /// Do not wait for it; its output goes to the log
    #[arg(short, long)]
    pub detached: bool,
    /// With --detached: show the log
    #[arg(short, long)]
    pub tail: bool,
    /// Accepted for the sake of habit: the exit code is always the command's
    #[arg(short = 'x', long, hide = true)]
    pub exit_code: bool,
    /// Accepted for the sake of habit
    #[arg(long, hide = true)]
    pub no_notify: bool,
    /// Accepted for the sake of habit
    #[arg(long, hide = true)]
    pub no_launcher: bool,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// `ps:exec`
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:\n  renga ps:exec -a times\n  renga ps:exec -d worker.2 -- ps aux\n  \
                        renga ps:exec --no-tty cat log/production.log > production.log\n\n\
                        It runs beside the dyno's own process, as the same user, and ends with the dyno or with your \
                        connection. The app's log says who ran what.\nThe exit code is the command's.")]
pub struct ExecArgs {
    #[command(flatten)]
    pub app: AppArgs,
    /// The dyno
    #[arg(short, long, default_value = "web.1")]
    pub dyno: String,
    /// No terminal: bytes go through as they are
    #[arg(long)]
    pub no_tty: bool,
    /// The command and its arguments; a shell if left out
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// `run:inside`
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Examples:\n  renga run:inside web.1 bash -a times\n  renga run:inside worker.2 -- ps aux\n\n\
                        The same as ps:exec, with the dyno in front.\nThe exit code is the command's."
)]
pub struct InsideArgs {
    #[command(flatten)]
    pub app: AppArgs,
    /// No terminal: bytes go through as they are
    #[arg(long)]
    pub no_tty: bool,
    /// Accepted for the sake of habit: the exit code is always the command's
    #[arg(short = 'x', long, hide = true)]
    pub exit_code: bool,
    /// Accepted for the sake of habit
    #[arg(long, hide = true)]
    pub no_launcher: bool,
    /// The dyno
    pub dyno: String,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

pub(crate) fn inside(context: &Context<'_>, args: &InsideArgs) -> Result<(), Failure> {
    let InsideArgs { app, no_tty, dyno, command, .. } = args.clone();
    exec(context, &ExecArgs { app, dyno, no_tty, command })
}

pub(crate) fn run(context: &Context<'_>, args: &RunArgs) -> Result<(), Failure> {
    let args = args.clone().with_late_flags()?;
    let on = context.on_app(&args.app)?;
    if args.detached {
        return detached(context, &on, &args);
    }
    let shown = joined(&args.command);
    let tty = !args.no_tty && terminal::is_interactive();
    let app = context.out.app_doing(&on.app);
    let progress = context.out.doing(&format!("Running {shown} on {app}"));
    let command = status::telling(&shown, names_a_type(&on, &shown)?);
    let asked = DynoCreate { command, force_no_tty: (!tty).then_some(true), ..asked(context, &args, tty)? };
    let dyno: Dyno = on.client.post(&on.path("/dynos"), &asked)?;
    let attached = meet(&dyno, &on)?;
    progress.done_with(&format!("up, {} ({})", dyno.name, dyno.size));
    finish(attached, tty, dyno)
}

/// A command inside a dyno that runs.
pub(crate) fn exec(context: &Context<'_>, args: &ExecArgs) -> Result<(), Failure> {
    let (dyno, args) = args.clone().with_late_flags()?;
    let on = context.on_app(&args.app)?;
    let shown = joined(&args.command);
    let tty = !args.no_tty && terminal::is_interactive();
    let app = context.out.app_doing(&on.app);
    let progress = context.out.doing(&format!("Running {shown} inside {dyno} of {app}"));
    let DynoCreate { env, .. } = asked(context, &args, tty)?;
    let asked = DynoExec {
        command: status::telling(&shown, false),
        env,
        force_no_tty: (!tty).then_some(true),
        ..DynoExec::default()
    };
    let dyno: Dyno = on.client.post(&on.path(&format!("/dynos/{}", segment(&dyno))), &asked)?;
    let attached = meet(&dyno, &on)?;
    progress.done_with("up");
    finish(attached, tty, dyno)
}

fn meet(dyno: &Dyno, on: &OnApp) -> Result<Attached, Failure> {
    let meeting = meeting(dyno, on)?;
    let (dyno, host) = (dyno.name.clone(), meeting.host.clone());
    Attached::meet(meeting).map_err(|cause| match tls::is_untrusted(&cause) {
        true => Failure::RendezvousCa { dyno, host },
        false => Failure::NotAttached { dyno, cause },
    })
}

fn finish(attached: Attached, tty: bool, dyno: Dyno) -> Result<(), Failure> {
    match attached.run(tty)? {
        Ended::Command(0) => Ok(()),
        Ended::Command(code) | Ended::Left(code) => Err(Failure::Exited(code)),
        Ended::Lost => Err(Failure::DynoLost { dyno: dyno.name }),
    }
}

pub(crate) fn run_detached(context: &Context<'_>, args: &RunArgs) -> Result<(), Failure> {
    run(context, &RunArgs { detached: true, ..args.clone() })
}

fn detached(context: &Context<'_>, on: &OnApp, args: &RunArgs) -> Result<(), Failure> {
    let app = context.out.app_doing(&on.app);
    let progress = context.out.doing(&format!("Running {} on {app}", joined(&args.command)));
    let dyno: Dyno = on.client.post(&on.path("/dynos"), &asked(context, args, false)?)?;
    progress.done_with(&format!("done, {}", dyno.name));
    if args.tail {
        let session =
            LogSessionCreate { dyno: Some(dyno.name), tail: Some(true), ..LogSessionCreate::default() };
        return logs::follow(context, on, &session, context.out.colours);
    }
    context
        .out
        .note(&format!("Run renga logs --app {} --dyno-name {} to view the output.\n", on.app, dyno.name));
    Ok(())
}

fn asked(context: &Context<'_>, args: &RunArgs, tty: bool) -> Result<DynoCreate, Failure> {
    let mut env = args.env.as_deref().map(parse_env).transpose()?.unwrap_or_default();
    if let Some(term) = context.env.get("TERM").filter(|_| !args.detached) {
        env.entry("TERM".into()).or_insert_with(|| EnvValue::Text(term.to_owned()));
    }
    if let Some(size) = tty.then(terminal::window_size).flatten() {
        env.insert("COLUMNS".into(), EnvValue::Number(size.columns.into()));
        env.insert("LINES".into(), EnvValue::Number(size.rows.into()));
    }
    Ok(DynoCreate {
        command: joined(&args.command),
        attach: Some(!args.detached),
        env: Some(env),
        size: args.size.clone(),
        process_type: args.r#type.clone(),
        ..DynoCreate::default()
    })
}

/// Whether the command begins with a process type of the app.
fn names_a_type(on: &OnApp, command: &str) -> Result<bool, Failure> {
    let first = command.split_whitespace().next().unwrap_or_default();
    if first.parse::<renga_model::ProcessType>().is_err() {
        return Ok(false);
    }
    let formation: Vec<Formation> = on.client.list(&on.path("/formation"))?;
    Ok(formation.iter().any(|row| row.process_type == first))
}

/// `rendezvous://HOST:PORT/SECRET`
fn meeting(dyno: &Dyno, on: &OnApp) -> Result<Meeting, Failure> {
    let wrong = || Failure::NoRendezvous { dyno: dyno.name.clone() };
    let rest =
        dyno.attach_url.as_deref().and_then(|url| url.strip_prefix("rendezvous://")).ok_or_else(wrong)?;
    let (authority, secret) = rest.split_once('/').ok_or_else(wrong)?;
    let (host, port) = tls::split_authority(authority, RENDEZVOUS_PORT).ok_or_else(wrong)?;
    Ok(Meeting { host, port, secret: secret.to_owned(), ca: on.place.ca.clone() })
}

/// One argument is a command line as it is; of several, those that hold blanks or quotes are put in quotes.
fn joined(command: &[String]) -> String {
    if let [line] = command {
        return line.clone();
    }
    let word =
        |word: &String| match word.is_empty() || word.contains(char::is_whitespace) || word.contains('"') {
            true => format!("\"{}\"", word.replace('"', "\\\"")),
            false => word.clone(),
        };
    command.iter().map(word).collect::<Vec<_>>().join(" ")
}

fn parse_env(text: &str) -> Result<BTreeMap<String, EnvValue>, Failure> {
    let pairs = text.split(';').map(str::trim).filter(|pair| !pair.is_empty());
    let one = |pair: &str| {
        let wrong = || Failure::Usage(format!("env flag {pair} appears invalid. Avoid using ';' in values."));
        let (key, value) =
            pair.split_once('=').filter(|(key, _)| !key.trim().is_empty()).ok_or_else(wrong)?;
        Ok((key.trim().to_owned(), EnvValue::Text(value.trim().to_owned())))
    };
    pairs.map(one).collect()
}

// === flags behind the command ===

impl ExecArgs {
    /// The dyno, and the rest as `run` understands it.
    fn with_late_flags(self) -> Result<(String, RunArgs), Failure> {
        let (mut dyno, mut command) = (self.dyno, Vec::new());
        let mut words = self.command.into_iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--" => {
                    command.push(word);
                    command.extend(words);
                    break;
                }
                "-d" | "--dyno" => {
                    let missing = || Failure::Usage(format!("flag {word} expects a value"));
                    dyno = words.next().ok_or_else(missing)?;
                }
                _ => match word.strip_prefix("--dyno=") {
                    Some(named) => named.clone_into(&mut dyno),
                    None => command.push(word),
                },
            }
        }
        // A shell to sit at.
        let is_flag = |word: &String| word.starts_with('-');
        if command.first().is_none_or(is_flag) && !command.iter().any(|word| word == "--") {
            command.insert(0, "bash".into());
        }
        let run = RunArgs { app: self.app, no_tty: self.no_tty, command, ..RunArgs::default() };
        Ok((dyno, run.with_late_flags()?))
    }
}

impl RunArgs {
    /// `run bash -a times`: people write it so, and heroku understands it.
    fn with_late_flags(mut self) -> Result<Self, Failure> {
        let mut words = std::mem::take(&mut self.command).into_iter();
        while let Some(word) = words.next() {
            if word == "--" {
                self.command.extend(words);
                break;
            }
            let (flag, glued) = match word.split_once('=').filter(|_| word.starts_with("--")) {
                Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
                None => (word.clone(), None),
            };
            let mut value = || {
                let next = glued.clone().or_else(|| words.next());
                next.ok_or_else(|| Failure::Usage(format!("flag {flag} expects a value")))
            };
            match flag.as_str() {
                "-a" | "--app" => self.app.app = Some(value()?),
                "-r" | "--remote" => self.app.remote = Some(value()?),
                "-s" | "--size" => self.size = Some(value()?),
                "-e" | "--env" => self.env = Some(value()?),
                "--type" => self.r#type = Some(value()?),
                "--data-dir" => self.app.place.data_dir = Some(value()?.into()),
                "--no-tty" => self.no_tty = true,
                "-x" | "--exit-code" => self.exit_code = true,
                "--no-notify" | "--no-launcher" => {}
                _ => self.command.push(word),
            }
        }
        match self.command.is_empty() {
            true => Err(Failure::Usage("say what to run: renga run COMMAND".into())),
            false => Ok(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &[&str]) -> Vec<String> {
        text.iter().map(|word| (*word).to_owned()).collect()
    }

    fn late(text: &[&str]) -> RunArgs {
        RunArgs { command: words(text), ..RunArgs::default() }.with_late_flags().unwrap()
    }

    #[test]
    fn flags_may_stand_behind_the_command() {
        let args = late(&["bash", "-a", "times", "--size=basic"]);
        assert_eq!(
            (args.command, args.app.app.as_deref(), args.size.as_deref()),
            (words(&["bash"]), Some("times"), Some("basic"))
        );
        let args = late(&["rake", "-T", "--", "-a", "b"]);
        assert_eq!((args.command, args.app.app), (words(&["rake", "-T", "-a", "b"]), None));
        assert!(RunArgs { command: words(&["bash", "-a"]), ..RunArgs::default() }.with_late_flags().is_err());
        assert!(RunArgs { command: words(&["-x"]), ..RunArgs::default() }.with_late_flags().is_err());
    }

    #[test]
    fn one_word_is_a_line_and_many_are_words() {
        assert_eq!(joined(&words(&["echo $HOME; exit 3"])), "echo $HOME; exit 3");
        assert_eq!(joined(&words(&["echo", "two words", "a\"b", "c"])), r#"echo "two words" "a\"b" c"#);
        assert_eq!(joined(&words(&["printf", ""])), "printf \"\"");
    }

    #[test]
    fn variables_are_parted_by_semicolons() {
        let env = parse_env("A=1; B = x=y ;").unwrap();
        assert_eq!(env["A"], EnvValue::Text("1".into()));
        assert_eq!(env["B"], EnvValue::Text("x=y".into()));
        assert!(parse_env("A=1;b").is_err());
    }
}
