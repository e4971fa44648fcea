//! What is said of a word that is no command.

/// Words that are further away than this part of their length are not what was meant.
const FAR: usize = 3;

pub(super) fn unknown(command: &clap::Command, word: &str) -> String {
    let mut text = format!(" ›   Error: {word:?} is no command of renga.");
    if let Some(meant) = nearest(command, word) {
        text += &format!(" Did you mean {meant}?");
    }
    text + "\n ›   See renga help for all commands.\n"
}

/// The command whose name, or other name, has the fewest letters wrong.
fn nearest(command: &clap::Command, word: &str) -> Option<String> {
    let names = command.get_subcommands().filter(|command| !command.is_hide_set()).flat_map(|command| {
        std::iter::once(command.get_name()).chain(command.get_all_aliases()).map(ToOwned::to_owned)
    });
    // Heroku's habits: some write a blank or a dash for the colon.
    let plain = word.to_lowercase().replace(['-', '_', ' '], ":");
    let distance = |name: &str| strsim::damerau_levenshtein(&plain, name);
    let nearest = names.min_by_key(|name| (distance(name), name.clone()))?;
    (distance(&nearest) <= 1 + plain.chars().count() / FAR).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_what_was_meant_and_nonsense_finds_nothing() {
        let names = ["apps", "ps", "ps:scale", "config:set", "logs", "releases"];
        let command = clap::Command::new("renga")
            .subcommands(names.map(clap::Command::new))
            .subcommand(clap::Command::new("secret").hide(true));
        for (typed, meant) in [
            ("aps", Some("apps")),
            ("ps:scael", Some("ps:scale")),
            ("config-set", Some("config:set")),
            ("LOGS", Some("logs")),
            ("relases", Some("releases")),
            ("secret", None),
            ("frobnicate", None),
        ] {
            assert_eq!(nearest(&command, typed).as_deref(), meant, "{typed}");
        }
        assert!(unknown(&command, "frobnicate").contains("renga help"));
    }
}
