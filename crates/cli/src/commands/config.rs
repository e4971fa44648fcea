//! `config` and below: the variables that an app is configured by.

use std::{
    collections::BTreeMap,
    fs,
    io::{IsTerminal as _, Write as _},
    path::Path,
    process::Command,
};

use renga_wire::ConfigChange;

use crate::{
    app::AppArgs,
    context::{Context, OnApp},
    errors::Failure,
    output::{Paint, pairs},
    platform::quote_sh,
};

type Vars = BTreeMap<String, String>;

/// `config`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  renga config -a times\n  renga config --shell > .env\n  renga config --json"
)]
pub struct ListArgs {
    #[command(flatten)]
    pub app: AppArgs,
    /// Print as KEY=value lines for a shell or a .env file
    #[arg(short, long, conflicts_with = "json")]
    pub shell: bool,
    /// Print as JSON
    #[arg(short, long)]
    pub json: bool,
}

/// `config:get`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga config:get RAILS_ENV\n  renga config:get RAILS_ENV --shell")]
pub struct GetArgs {
    /// Names of the variables
    #[arg(required = true, value_name = "KEY")]
    pub keys: Vec<String>,
    #[command(flatten)]
    pub app: AppArgs,
    /// Print as KEY=value
    #[arg(short, long)]
    pub shell: bool,
    /// Print as JSON
    #[arg(short, long, conflicts_with = "shell")]
    pub json: bool,
}

/// `config:set`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  renga config:set RAILS_ENV=staging\n  renga config:set A=1 B=\"two words\" -a times"
)]
pub struct SetArgs {
    /// What to set
    #[arg(required = true, value_name = "KEY=VALUE")]
    pub vars: Vec<String>,
    #[command(flatten)]
    pub app: AppArgs,
}

/// `config:unset`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga config:unset RAILS_ENV\n  renga config:unset A B -a times")]
pub struct UnsetArgs {
    /// Names of the variables
    #[arg(required = true, value_name = "KEY")]
    pub keys: Vec<String>,
    #[command(flatten)]
    pub app: AppArgs,
}

/// `config:edit`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  renga config:edit -a times\n  EDITOR=nano renga config:edit RAILS_ENV\n\n\
                        Removing a line unsets its variable. A value with line breaks is written as a JSON string."
)]
pub struct EditArgs {
    /// Edit this variable only
    #[arg(value_name = "KEY")]
    pub key: Option<String>,
    #[command(flatten)]
    pub app: AppArgs,
}

pub(crate) fn list(context: &Context<'_>, args: &ListArgs) -> Result<(), Failure> {
    let on = context.on_app(&args.app)?;
    let (vars, out) = (fetch(&on)?, context.out);
    if args.json {
        return out.json(&vars);
    }
    if args.shell {
        return out.print(
            &vars
                .iter()
                .map(|(key, value)| format!("{key}={}\n", quote_if_needed(value)))
                .collect::<String>(),
        );
    }
    if vars.is_empty() {
        return out.print(&format!("{} has no config vars.\n", out.app(&on.app)));
    }
    let header = out.header(&format!("{} Config Vars", out.app(&on.app)));
    out.print(&format!("{header}{}\n", shown(&vars, context)))
}

pub(crate) fn get(context: &Context<'_>, args: &GetArgs) -> Result<(), Failure> {
    let on = context.on_app(&args.app)?;
    let vars = fetch(&on)?;
    let asked = args.keys.iter().map(|key| (key, vars.get(key)));
    if args.json {
        return context.out.json(&asked.collect::<BTreeMap<_, _>>());
    }
    let line = |(key, value): (&String, Option<&String>)| match args.shell {
        true => format!("{key}={}\n", quote_if_needed(value.map_or("", String::as_str))),
        false => format!("{}\n", value.map_or("", String::as_str)),
    };
    context.out.print(&asked.map(line).collect::<String>())
}

pub(crate) fn set(context: &Context<'_>, args: &SetArgs) -> Result<(), Failure> {
    let vars = args.vars.iter().map(|var| parse(var)).collect::<Result<Vars, _>>()?;
    let on = context.on_app(&args.app)?;
    let change = vars.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
    let after = apply(context, &on, "Setting", &change)?;
    let mine = after.into_iter().filter(|(key, _)| vars.contains_key(key)).collect();
    context.out.print(&format!("\n{}", shown(&mine, context)))
}

pub(crate) fn unset(context: &Context<'_>, args: &UnsetArgs) -> Result<(), Failure> {
    let on = context.on_app(&args.app)?;
    let change = args.keys.iter().map(|key| (key.clone(), None)).collect();
    apply(context, &on, "Unsetting", &change).map(drop)
}

pub(crate) fn edit(context: &Context<'_>, args: &EditArgs) -> Result<(), Failure> {
    let on = context.on_app(&args.app)?;
    let before = fetch(&on)?;
    let chosen: Vars = match &args.key {
        None => before.clone(),
        Some(key) => [(key.clone(), before.get(key).cloned().unwrap_or_default())].into(),
    };
    let edited = read_edited(&in_editor(context, &written(&chosen))?)?;
    let change = difference(&chosen, &edited);
    if change.is_empty() {
        context.out.note("No changes.\n");
        return Ok(());
    }
    if std::io::stdin().is_terminal() && !super::confirmed(context, &told(&change))? {
        return Ok(());
    }
    if fetch(&on)? != before {
        return Err(Failure::ConfigMoved { app: on.app });
    }
    apply(context, &on, "Updating", &change).map(drop)
}

fn fetch(on: &OnApp) -> Result<Vars, Failure> {
    on.client.get(&on.path("/config-vars"))
}

/// One request, one release; says which one.
fn apply(context: &Context<'_>, on: &OnApp, verb: &str, change: &ConfigChange) -> Result<Vars, Failure> {
    let keys: Vec<&str> = change.keys().map(String::as_str).collect();
    let app = context.out.app_doing(&on.app);
    let progress = context.out.doing(&format!("{verb} {} and restarting {app}", keys.join(", ")));
    let vars = on.client.patch(&on.path("/config-vars"), change)?;
    match on.newest_release()? {
        Some(release) => progress.done_with(&format!("done, v{}", release.version)),
        None => progress.done(),
    }
    Ok(vars)
}

fn parse(var: &str) -> Result<(String, String), Failure> {
    let (key, value) = var
        .split_once('=')
        .filter(|(key, _)| !key.is_empty())
        .ok_or_else(|| Failure::Usage(format!("{var} is invalid. Must be in the format FOO=bar.")))?;
    Ok((key.to_owned(), value.to_owned()))
}

fn shown(vars: &Vars, context: &Context<'_>) -> String {
    let paint = |key: &String| context.out.paint(Paint::Green, key);
    pairs(&vars.iter().map(|(key, value)| (paint(key), value.clone())).collect::<Vec<_>>())
}

fn quote_if_needed(value: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:=@,+%^".contains(&b);
    match !value.is_empty() && value.bytes().all(plain) {
        true => value.to_owned(),
        false => quote_sh(value),
    }
}

// === editing ===

/// One `KEY=value` a line; what could be misread is a JSON string.
fn written(vars: &Vars) -> String {
    let line = |(key, value): (&String, &String)| {
        let plain = !value.starts_with('"') && value.trim() == value && !value.contains(char::is_control);
        match plain {
            true => format!("{key}={value}\n"),
            false => format!("{key}={}\n", serde_json::to_string(value).expect("text is JSON")),
        }
    };
    vars.iter().map(line).collect()
}

fn read_edited(text: &str) -> Result<Vars, Failure> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let one = |line: &str| {
        let (key, value) = parse(line)?;
        let value = value.trim();
        let value = match value.starts_with('"') {
            true => serde_json::from_str(value).map_err(|_| {
                Failure::Usage(format!("the value of {key} begins with a quote and is no JSON string"))
            })?,
            false => value.to_owned(),
        };
        Ok((key.trim().to_owned(), value))
    };
    lines.map(one).collect()
}

fn difference(before: &Vars, after: &Vars) -> ConfigChange {
    let changed = after.iter().filter(|(key, value)| before.get(*key) != Some(value));
    let removed = before.keys().filter(|key| !after.contains_key(*key));
    let changed = changed.map(|(key, value)| (key.clone(), Some(value.clone())));
    changed.chain(removed.map(|key| (key.clone(), None))).collect()
}

fn told(change: &ConfigChange) -> String {
    let line = |(key, value): (&String, &Option<String>)| match value {
        Some(value) => format!("  {key}={value}\n"),
        None => format!("  {key} is removed\n"),
    };
    format!("Config diff:\n{}Update the config?", change.iter().map(line).collect::<String>())
}

/// The text as the user left it. The file holds secrets: it is the user's alone, and gone afterwards.
fn in_editor(context: &Context<'_>, text: &str) -> Result<String, Failure> {
    let editor = context.env.get("VISUAL").or_else(|| context.env.get("EDITOR")).unwrap_or("vi");
    let mut words = editor.split_whitespace();
    let program = words.next().unwrap_or("vi");
    let mut file = tempfile::Builder::new()
        .prefix("renga-config-")
        .suffix(".env")
        .tempfile()
        .map_err(Failure::local("make a file to edit"))?;
    file.write_all(text.as_bytes()).map_err(Failure::local("write the file to edit"))?;
    let status = Command::new(program).args(words).arg(file.path()).status();
    let status = status.map_err(|cause| Failure::Program { program: program.to_owned(), cause })?;
    if !status.success() {
        return Err(Failure::Editor { editor: editor.to_owned() });
    }
    // Editors replace the file: it is read by its name.
    read_back(file.path())
}

fn read_back(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(Failure::local("read the edited file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_has_a_name_and_may_hold_anything() {
        assert_eq!(parse("A=b=c d").unwrap(), ("A".into(), "b=c d".into()));
        assert_eq!(parse("A=").unwrap(), ("A".into(), String::new()));
        assert!(parse("A").is_err() && parse("=b").is_err());
    }

    #[test]
    fn a_file_that_was_not_touched_changes_nothing() {
        let vars: Vars =
            [("A", "1"), ("B", " x "), ("C", "a\nb"), ("D", "\"q\""), ("E", ""), ("F", "a # b'\\")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into();
        assert_eq!(read_edited(&written(&vars)).unwrap(), vars);
        assert!(difference(&vars, &vars).is_empty());
    }

    #[test]
    fn lines_that_are_gone_unset_and_lines_that_are_new_set() {
        let vars = |text: &str| read_edited(text).unwrap();
        let change = difference(&vars("A=1\nB=2\nC=3"), &vars("# kept\nA=1\nB=4\nD=5"));
        let shown: Vec<_> = change.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
        assert_eq!(shown, [("B", Some("4")), ("C", None), ("D", Some("5"))]);
        assert!(read_edited("A=\"unfinished").is_err());
    }

    #[test]
    fn shells_read_back_what_was_printed() {
        assert_eq!(quote_if_needed("postgres://u:p@h/d"), "postgres://u:p@h/d");
        assert_eq!(quote_if_needed("two words"), "'two words'");
        assert_eq!(quote_if_needed(""), "''");
        assert_eq!(quote_if_needed("$(x)"), "'$(x)'");
    }
}
