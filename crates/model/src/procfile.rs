//! `Procfile`: one `type: command` a line. Other lines are ignored, CRLF is tolerated, and the command is kept as
//! written: a trailing `# comment` is bash's business.

use std::collections::BTreeMap;

use crate::ProcessType;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Procfile {
    pub types: BTreeMap<ProcessType, String>,
}

impl Procfile {
    /// Never fails: what does not match `^([A-Za-z0-9_-]+):\s*(.+)$` is no process type. The last of equal names wins.
    pub fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let (name, command) = line.trim_end().split_once(':')?;
            let command = command.trim_start();
            (!command.is_empty()).then_some(())?;
            Some((name.parse().ok()?, command.to_owned()))
        };
        Self { types: text.trim_start_matches('\u{feff}').lines().filter_map(line).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_ignored_and_crlf_is_fine() {
        let text = "web: bin/serve --port $PORT # comment\r\n\r\n# no type\nwork er: x\nworker:\nclock:   a: b\r\n:x\n";
        let types = Procfile::parse(text).types;
        let shown: Vec<_> = types.iter().map(|(t, c)| format!("{t}={c}")).collect();
        assert_eq!(shown, ["clock=a: b", "web=bin/serve --port $PORT # comment"]);
    }
}
