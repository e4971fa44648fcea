//! What is said of a command line that can't be meant: the parser's findings in the words of all other errors.

use clap::error::{ContextKind, ContextValue, Error, ErrorKind};

/// Lines behind a mark: what is wrong, how it is used, where to read more. `command` is the one that was meant.
pub(super) fn text(error: &Error, command: Option<&str>) -> String {
    let mut lines = vec![format!("Error: {}", what(error))];
    lines.extend(
        values(error, ContextKind::SuggestedArg).first().map(|meant| format!("Did you mean {meant}?")),
    );
    if let Some(usage) = error.get(ContextKind::Usage) {
        lines.extend(usage.to_string().lines().map(str::to_owned));
    }
    lines.push(match command {
        Some(command) => format!("See renga help {command}."),
        None => "See renga help.".into(),
    });
    lines.iter().map(|line| format!(" ›   {line}").trim_end().to_owned() + "\n").collect()
}

fn what(error: &Error) -> String {
    let (arg, value) = (first(error, ContextKind::InvalidArg), first(error, ContextKind::InvalidValue));
    match error.kind() {
        ErrorKind::MissingRequiredArgument => {
            let missing = values(error, ContextKind::InvalidArg);
            format!("missing {}.", missing.join(" and "))
        }
        ErrorKind::UnknownArgument => format!("{arg:?} is not understood here."),
        ErrorKind::InvalidValue if value.is_empty() => format!("{arg} needs a value."),
        ErrorKind::InvalidValue => {
            let valid = values(error, ContextKind::ValidValue);
            format!("{value:?} can't be {arg}. There are: {}.", valid.join(", "))
        }
        ErrorKind::ValueValidation => {
            let reason = std::error::Error::source(error).map(|source| format!(": {source}"));
            format!("{value:?} can't be {arg}{}.", reason.unwrap_or_default())
        }
        ErrorKind::ArgumentConflict => {
            let prior = values(error, ContextKind::PriorArg).join(" and ");
            if prior == arg {
                format!("{arg} is given twice.")
            } else {
                format!("{arg} and {prior} exclude each other.")
            }
        }
        ErrorKind::TooManyValues => format!("{value:?} is one too many for {arg}."),
        // The rest has hardly any cause; the first line of the parser's own words says it.
        _ => {
            let own = error.to_string();
            own.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
        }
    }
}

fn first(error: &Error, kind: ContextKind) -> String {
    values(error, kind).into_iter().next().unwrap_or_default()
}

fn values(error: &Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use clap::{Arg, ArgAction, Command};

    use super::*;

    fn said(line: &str) -> String {
        let number =
            Arg::new("num").short('n').long("num").value_parser(clap::value_parser!(u32).range(1..=9));
        let json = Arg::new("json").long("json").action(ArgAction::SetTrue).conflicts_with("num");
        let members = Command::new("members")
            .arg(Arg::new("team").short('t').long("team").required(true))
            .arg(Arg::new("email").value_parser(["a", "b"]))
            .arg(number)
            .arg(json);
        let words = std::iter::once("renga").chain(line.split(' '));
        let error = Command::new("renga").subcommand(members).try_get_matches_from(words).unwrap_err();
        text(&error, Some("members"))
    }

    #[test]
    fn what_is_wrong_is_named_and_where_to_read_more() {
        for (line, words) in [
            ("members", "Error: missing --team <team>."),
            ("members -t", "needs a value."),
            ("members -t x --jsn", "Error: \"--jsn\" is not understood here.\n ›   Did you mean --json?"),
            ("members -t x c", "\"c\" can't be [email]. There are: a, b."),
            ("members -t x -n 10", "Error: \"10\" can't be --num <num>: 10 is not in 1..=9."),
            ("members -t x -n 1 --json", "exclude each other."),
            ("members -t x -t y", "is given twice."),
        ] {
            let said = said(line);
            assert!(said.contains(words), "{line}: {said}");
            assert!(
                said.starts_with(" ›   Error: ") && said.ends_with(" ›   See renga help members.\n"),
                "{said}"
            );
        }
    }
}
