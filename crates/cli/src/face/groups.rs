//! How `help` groups the commands: by what a person wants to do.

/// A topic is what stands before the colon; a word with a colon is that one command, and goes before its topic.
pub(super) const GROUPS: [(&str, &[&str]); 7] = [
    ("Begin", &["create", "git", "exec", "env", "connect", "login", "logout", "auth", "local"]),
    (
        "Your apps",
        &[
            "apps",
            "info",
            "open",
            "destroy",
            "domains",
            "certs",
            "maintenance",
            "buildpacks",
            "features",
            "labs",
            "stack",
        ],
    ),
    ("Who may", &["access", "teams", "members", "sessions", "authorizations", "clients", "keys"]),
    ("What runs", &["ps", "logs", "run", "why"]),
    ("What is released", &["releases", "rollback", "config"]),
    (
        "The platform",
        &[
            "up",
            "install",
            "upgrade",
            "doctor",
            "backup",
            "restore",
            "uninstall",
            "users",
            "status",
            "server",
            "node",
            "router",
            "regions",
        ],
    ),
    ("This tool", &["help", "completion", "man"]),
];

pub(super) fn topic_of(command: &str) -> &str {
    command.split(':').next().unwrap_or(command)
}

/// Commands that nobody has thought of a place for, and those that stand in two; for tests of the programs.
pub fn misplaced(command: clap::Command) -> Vec<String> {
    let command = command.subcommands(crate::plain::commands());
    let places =
        |name: &str| GROUPS.iter().flat_map(|(_, topics)| *topics).filter(|topic| **topic == name).count();
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
    shown
        .map(clap::Command::get_name)
        .filter(|name| places(topic_of(name)) != 1)
        .map(ToOwned::to_owned)
        .collect()
}
