//! `renga help`: all commands, grouped; and one of them, or all of a topic.

use clap::Command;

use super::groups::{GROUPS, topic_of};
use crate::{
    Environment,
    platform::{Place, PlaceArgs},
};

/// Commands of topics are shown by the topic's first; the rest by `renga help TOPIC`.
const NAME_WIDTH: usize = 14;

pub(super) fn overview(command: Command, env: &Environment) -> String {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let mut text = format!("{about}\n\nUsage: renga COMMAND [FLAGS]\n");
    for (title, topics) in GROUPS {
        let lines: Vec<String> = topics.iter().filter_map(|topic| line(&command, topic)).collect();
        if !lines.is_empty() {
            text += &format!("\n{title}\n{}", lines.concat());
        }
    }
    text += "\nrenga help COMMAND tells more; most commands print --json, too.\n";
    text + first_steps(env)
}

/// For somebody who has just unpacked it.
fn first_steps(env: &Environment) -> &'static str {
    let is_new = Place::find(&PlaceArgs::default(), env).is_err();
    if is_new {
        "\nNo platform was found. On a server: sudo renga up. To use one that runs elsewhere: renga connect URL\n"
    } else {
        ""
    }
}

fn line(command: &Command, topic: &str) -> Option<String> {
    let of_topic: Vec<&Command> = shown(command).filter(|c| topic_of(c.get_name()) == topic).collect();
    let first = of_topic.iter().find(|c| c.get_name() == topic).or(of_topic.first())?;
    let about = first.get_about().map(ToString::to_string).unwrap_or_default();
    let name = if first.get_name() == topic { topic } else { first.get_name() };
    let others: Vec<&str> =
        of_topic.iter().map(|c| c.get_name()).filter(|other| *other != name).map(after_colon).collect();
    let more = if others.is_empty() { String::new() } else { format!(" (and :{})", others.join(", :")) };
    Some(format!("  {name:NAME_WIDTH$} {about}{more}\n"))
}

fn after_colon(name: &str) -> &str {
    name.split_once(':').map_or(name, |(_, rest)| rest)
}

fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|command| !command.is_hide_set())
}

/// Of one command, and of the others of its topic. None: there is neither.
pub(super) fn about(command: &mut Command, word: &str) -> Option<String> {
    let name = command.get_name().to_owned();
    let mut text = String::new();
    if let Some(found) = command.find_subcommand_mut(word) {
        // Built alone, it would not know of whom it is a part.
        let found = found.clone().bin_name(format!("{name} {}", found.get_name()));
        text = { found }.render_help().to_string();
    }
    let others: Vec<String> = shown(command)
        .filter(|c| topic_of(c.get_name()) == word && c.get_name() != word)
        .map(|c| {
            format!(
                "  {:NAME_WIDTH$} {}\n",
                c.get_name(),
                c.get_about().map(ToString::to_string).unwrap_or_default()
            )
        })
        .collect();
    if !others.is_empty() {
        text +=
            &format!("{}Commands of {word}:\n{}", if text.is_empty() { "" } else { "\n" }, others.concat());
    }
    (!text.is_empty()).then_some(text)
}
