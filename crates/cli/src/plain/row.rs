//! What a row of the table may say.

use clap::{Arg, ArgAction, Command};
use ureq::http::Method;

pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) aliases: &'static [&'static str],
    pub(crate) about: &'static str,
    /// Whole command lines.
    pub(crate) examples: &'static [&'static str],
    pub(crate) on: On,
    pub(crate) words: &'static [Word],
    pub(crate) method: Verb,
    /// Words in braces are replaced by what was typed; `{app}` is the app.
    pub(crate) path: &'static str,
    /// Another path, taken when this word was given.
    pub(crate) path_with: Option<(&'static str, &'static str)>,
    pub(crate) body: &'static [(&'static str, Source)],
    /// Asks for the app's name first, or for `--confirm`.
    pub(crate) confirmed: bool,
    pub(crate) shown: Shown,
    /// A switch, and what is printed of the answer (of each item of a list) when it is given.
    pub(crate) instead: Option<(&'static str, &'static str)>,
}

/// Of HTTP; the type of others is no constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl From<Verb> for Method {
    fn from(verb: Verb) -> Self {
        match verb {
            Verb::Get => Self::GET,
            Verb::Post => Self::POST,
            Verb::Put => Self::PUT,
            Verb::Patch => Self::PATCH,
            Verb::Delete => Self::DELETE,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum On {
    App,
    Account,
}

pub(crate) struct Word {
    pub(crate) id: &'static str,
    pub(crate) kind: Kind,
    pub(crate) help: &'static str,
    /// The list whose only member is meant if none is named.
    pub(crate) only_of: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A word of its own, in capitals.
    Place,
    /// `--id VALUE`, `-i VALUE` with the letter.
    Value(Option<char>),
    /// The same, without which the command makes no sense.
    Needed(Option<char>),
    /// `--id`, `-i`: there or not.
    Switch(Option<char>),
}

pub(crate) enum Source {
    Text(&'static str),
    TextOrNull(&'static str),
    /// A number, if it is one: the platform refuses anything else.
    Number(&'static str),
    /// Words between commas.
    List(&'static str),
    /// The content of the file of that name.
    File(&'static str),
    Flag(bool),
    /// Always this text.
    Is(&'static str),
}

pub(crate) enum Shown {
    /// Titles and where the cells stand in an item (JSON pointers); what is said of an empty list.
    Rows {
        columns: &'static [(&'static str, &'static str)],
        none: &'static str,
    },
    Facts(&'static [(&'static str, &'static str)]),
    /// Said while it lasts.
    Done(&'static str),
}

impl Row {
    pub(crate) fn command(&self) -> Command {
        let examples: String = self.examples.iter().map(|line| format!("\n  {line}")).collect();
        let mut command = Command::new(self.name)
            .visible_aliases(self.aliases)
            .about(self.about)
            .after_help(format!("Examples:{examples}"))
            .args(self.words.iter().map(Word::arg));
        if self.on == On::App {
            let app = Arg::new("app").short('a').long("app").value_name("APP");
            let remote = Arg::new("remote").short('r').long("remote").value_name("REMOTE");
            command = command
                .arg(app.help("App to run the command on"))
                .arg(remote.help("Git remote of the app to run the command on"));
        }
        if self.confirmed {
            let confirm = Arg::new("confirm").short('c').long("confirm").value_name("APP");
            command = command.arg(confirm.help("Name of the app; otherwise you are asked for it"));
        }
        let data_dir = Arg::new("data-dir")
            .long("data-dir")
            .value_name("DIR")
            .value_parser(clap::value_parser!(std::path::PathBuf))
            .help_heading("Platform")
            .help("Data directory of the platform on this machine [default: $RENGA_URL, $RENGA_DATA_DIR, $HEROKU_HOST, /var/lib/renga]");
        let json = Arg::new("json").short('j').long("json").action(ArgAction::SetTrue).help("Print as JSON");
        command.arg(json).arg(data_dir)
    }
}

impl Word {
    fn arg(&self) -> Arg {
        let arg = Arg::new(self.id).help(self.help).value_name(self.id.to_uppercase());
        match self.kind {
            Kind::Place => arg.required(true),
            Kind::Value(short) => with_short(arg.long(self.id), short),
            Kind::Needed(short) => with_short(arg.long(self.id), short).required(true),
            Kind::Switch(short) => {
                with_short(arg.long(self.id), short).action(ArgAction::SetTrue).num_args(0)
            }
        }
    }
}

fn with_short(arg: Arg, short: Option<char>) -> Arg {
    match short {
        Some(letter) => arg.short(letter),
        None => arg,
    }
}
