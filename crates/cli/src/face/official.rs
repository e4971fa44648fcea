//! Our commands beside the official ones: the same names, other names and flags, but for what is listed with a reason.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Command, Parser};

const OFFICIAL: &str = include_str!("../../tests/data/heroku-commands.txt");
/// `COMMAND` or `COMMAND --flag`, a tab, why it is not here. `* --flag`: of all commands.
const LEFT_OUT: &str = include_str!("../../tests/data/heroku-left-out.txt");

#[derive(Debug, Parser)]
#[command(name = "renga")]
struct Args {
    #[command(subcommand)]
    command: crate::Command,
}

fn ours() -> Command {
    let mut command = <Args as clap::CommandFactory>::command().subcommands(crate::plain::commands());
    command.build();
    command
}

/// What the official one has and ours lacks, as the list names it.
fn lacking(command: &Command) -> BTreeSet<String> {
    let mut lacking = BTreeSet::new();
    for line in OFFICIAL.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ');
        let name = words.next().unwrap_or_default();
        let Some(own) = command.find_subcommand(name) else {
            lacking.insert(name.to_owned());
            continue;
        };
        let flags: BTreeSet<String> = own.get_arguments().flat_map(spellings).collect();
        for word in words {
            let is_there = match word.strip_prefix('=') {
                Some(alias) => {
                    command.find_subcommand(alias).is_some_and(|found| found.get_name() == own.get_name())
                }
                None => word.split('/').all(|spelling| flags.contains(spelling)),
            };
            if !is_there {
                lacking.insert(format!("{name} {word}"));
            }
        }
    }
    lacking
}

fn spellings(arg: &clap::Arg) -> Vec<String> {
    let longs = arg.get_long_and_visible_aliases().unwrap_or_default();
    let shorts = arg.get_short_and_visible_aliases().unwrap_or_default();
    let longs = longs.into_iter().map(|long| format!("--{long}"));
    longs.chain(shorts.into_iter().map(|short| format!("-{short}"))).collect()
}

#[test]
fn what_is_left_out_is_listed_with_its_reason_and_nothing_else_is() {
    let listed: BTreeMap<&str, &str> = LEFT_OUT
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once('\t').unwrap_or_else(|| panic!("no reason: {line}")))
        .collect();
    assert!(listed.values().all(|reason| reason.len() > 10), "{listed:?}");
    let lacking = lacking(&ours());
    let (mut unlisted, mut used) = (Vec::new(), BTreeSet::new());
    for lack in &lacking {
        let of_all = lack.split_once(' ').map(|(_, flag)| format!("* {flag}")).unwrap_or_default();
        match [lack, &of_all].into_iter().find_map(|name| listed.get_key_value(name.as_str())) {
            Some((entry, _)) => drop(used.insert(*entry)),
            None => unlisted.push(lack),
        }
    }
    assert!(unlisted.is_empty(), "neither here nor listed: {unlisted:#?}");
    let stale: Vec<_> = listed.keys().filter(|entry| !used.contains(*entry)).collect();
    assert!(stale.is_empty(), "listed, and here all the same: {stale:?}");
}

/// Commands whose answer is a list: each has it for programs, too.
#[test]
fn every_listing_speaks_json() {
    let command = ours();
    let lists = |c: &&Command| {
        let about = c.get_about().map(ToString::to_string).unwrap_or_default();
        about.starts_with("List ") || about.starts_with("Show what") && c.get_name() != "releases:output"
    };
    let mute: Vec<&str> = command
        .get_subcommands()
        .filter(lists)
        .filter(|c| !c.get_arguments().any(|arg| arg.get_long() == Some("json")))
        .map(Command::get_name)
        .collect();
    assert!(mute.is_empty(), "{mute:?}");
}
