//! Completion: the shell's part is a few lines that ask this program for each word, so that flags are never out of date
//! and apps are those of the platform. (Generated scripts know no apps, and bash breaks their words at our colons.)

use clap::{Arg, Command};

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Shell {
    pub(super) fn script(self) -> &'static str {
        match self {
            Self::Bash => include_str!("completion/bash.sh"),
            Self::Zsh => include_str!("completion/zsh.sh"),
            Self::Fish => include_str!("completion/fish.fish"),
        }
    }
}

/// Candidates for the last word, a line each: the word, a tab, what it is for. `apps` is asked only where an app's name
/// may stand.
pub(super) fn answer(mut command: Command, words: &[String], apps: impl FnOnce() -> Vec<String>) -> String {
    command.build();
    let (begun, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let candidates = match before.first().and_then(|name| command.find_subcommand(name)) {
        None if before.is_empty() => commands(&command),
        None => Vec::new(),
        Some(sub) => match awaited(sub, before.last()) {
            Some(flag) if takes_app(flag) => apps().into_iter().map(|name| (name, String::new())).collect(),
            Some(flag) => values(flag),
            None if begun.starts_with('-') => flags(sub),
            None => sub.get_positionals().next().map(values).unwrap_or_default(),
        },
    };
    let fitting = candidates.into_iter().filter(|(word, _)| word.starts_with(begun));
    fitting.map(|(word, about)| format!("{word}\t{about}\n")).collect()
}

/// The flag that waits for its value.
fn awaited<'a>(command: &'a Command, last: Option<&String>) -> Option<&'a Arg> {
    let last = last?;
    let flag = command.get_arguments().find(|arg| spellings(arg).contains(last))?;
    flag.get_action().takes_values().then_some(flag)
}

fn takes_app(flag: &Arg) -> bool {
    matches!(flag.get_id().as_str(), "app" | "confirm")
}

fn spellings(arg: &Arg) -> Vec<String> {
    let long = arg.get_long().map(|long| format!("--{long}"));
    long.into_iter().chain(arg.get_short().map(|short| format!("-{short}"))).collect()
}

fn commands(command: &Command) -> Vec<(String, String)> {
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
    shown.map(|command| (command.get_name().to_owned(), text(command.get_about()))).collect()
}

fn flags(command: &Command) -> Vec<(String, String)> {
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set());
    shown.flat_map(|arg| spellings(arg).into_iter().map(|word| (word, text(arg.get_help())))).collect()
}

fn values(arg: &Arg) -> Vec<(String, String)> {
    arg.get_possible_values()
        .iter()
        .map(|value| (value.get_name().to_owned(), text(value.get_help())))
        .collect()
}

/// One line without tabs.
fn text(styled: Option<&clap::builder::StyledStr>) -> String {
    let text = styled.map(ToString::to_string).unwrap_or_default();
    text.lines().next().unwrap_or_default().replace('\t', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(line: &str) -> Vec<String> {
        let app = Arg::new("app").short('a').long("app").help("App");
        let json = Arg::new("json").long("json").action(clap::ArgAction::SetTrue);
        let kind = Arg::new("kind").value_parser(["bash", "zsh"]);
        let command = Command::new("renga")
            .subcommand(Command::new("ps").about("List").arg(app.clone()).arg(json))
            .subcommand(Command::new("ps:scale").arg(app))
            .subcommand(Command::new("completion").arg(kind))
            .subcommand(Command::new("complete").hide(true));
        let words: Vec<String> = line.split(' ').map(ToOwned::to_owned).collect();
        let answer = answer(command, &words, || vec!["times".into(), "tides".into()]);
        answer.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn commands_flags_values_and_apps_are_completed() {
        assert_eq!(complete("p"), ["ps", "ps:scale"]);
        assert_eq!(complete("ps:"), ["ps:scale"]);
        assert_eq!(complete("comp"), ["completion"]);
        assert_eq!(complete("ps --"), ["--app", "--json", "--help"]);
        assert_eq!(complete("ps -a ti"), ["times", "tides"]);
        assert_eq!(complete("ps --json --app tim"), ["times"]);
        assert_eq!(complete("completion b"), ["bash"]);
        assert!(complete("nonsense x").is_empty());
    }
}
