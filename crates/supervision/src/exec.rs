//! What is asked for on `exec.sock`.

use std::collections::BTreeMap;

use renga_model::Secret;
use renga_ports::Tty;
use serde::{Deserialize, Serialize};

/// A further process inside a dyno that runs. It has the dyno's environment; `env` is added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecOrder {
    pub argv: Vec<String>,
    pub env: BTreeMap<String, Secret>,
    /// A terminal instead of pipes.
    pub tty: Option<Tty>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Version 2, as released supervisors and servers read and write it: this may never change.
    #[test]
    fn the_order_of_version_2_looks_like_this() {
        let env = BTreeMap::from([("TERM".to_owned(), Secret::new("xterm"))]);
        let order = ExecOrder {
            argv: vec!["bash".into(), "-i".into()],
            env,
            tty: Some(Tty { columns: 80, rows: 24 }),
        };
        let json = r#"{"argv":["bash","-i"],"env":{"TERM":"xterm"},"tty":{"columns":80,"rows":24}}"#;
        assert_eq!(serde_json::to_string(&order).unwrap(), json);
        assert_eq!(serde_json::from_str::<ExecOrder>(json).unwrap(), order);
    }
}
