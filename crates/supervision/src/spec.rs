//! The supervisor's order, and what it tells of itself.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use jiff::Timestamp;
use renga_model::{AppId, DynoId, DynoKind, DynoName, Secret};
use renga_ports::Tty;
use serde::{Deserialize, Serialize};

/// Everything that a supervisor needs. The node has mounted the root file system and made the network before.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SupervisorSpec {
    pub version: u32,
    /// The dyno's directory (see the crate's page).
    pub directory: PathBuf,
    pub label: Label,
    pub hostname: String,
    /// The mounted overlay: stack, slug layers, writable layer. Owners are already mapped into the uid range. Every
    /// folder above it, and above the sources of binds, lets others pass (`o+x`): the dyno's root mounts them.
    pub rootfs: PathBuf,
    /// A file that holds the network namespace open.
    pub netns: PathBuf,
    /// Further mounts inside, in order.
    pub binds: Vec<Bind>,
    pub argv: Vec<String>,
    pub env: BTreeMap<String, Secret>,
    pub cwd: String,
    /// Host ids `uid_base .. uid_base + uid_count` are 0.. inside; the process runs as `uid`/`gid` inside.
    pub uid_base: u32,
    pub uid_count: u32,
    pub uid: u32,
    pub gid: u32,
    /// Path below each controller's mount (v1) or the cgroup2 mount (v2): `renga-<instance>/<dyno id>`. The container
    /// is in its child `app`, with the limits; the supervisor in its child `supervisor`, whose removal, and that of
    /// the path itself, is the node's. CPU shares are set on the path itself, so both are charged to the dyno.
    pub cgroup: String,
    pub memory_hard_bytes: u64,
    pub cpu_shares: u64,
    pub processes_max: u64,
    pub open_files_max: u64,
    pub tty: Option<Tty>,
    pub attach: bool,
    /// The output segments together hold at most this; the oldest go first, counted.
    pub log_bytes_max: u64,
    /// Output beyond this rate is dropped, counted; `log_bytes_max` may come at once. None: all is kept. (Supervisors
    /// before 0.2 do not know of it.)
    #[serde(default)]
    pub log_bytes_per_s: Option<u64>,
    pub time_to_live: Option<Duration>,
    /// Who may connect to `attach.sock` and read `log/`: the server's uid.
    pub reader_uid: u32,
    /// Between two SIGHUPs after the client of an attached dyno has gone; none: Heroku's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hangup_interval: Option<Duration>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Bind {
    pub source: PathBuf,
    pub target: String,
    pub read_only: bool,
}

/// Who a dyno is, for inventory after a crash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    pub id: DynoId,
    pub generation: u64,
    pub app: AppId,
    pub kind: DynoKind,
    pub name: DynoName,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub version: u32,
    pub supervisor_pid: i32,
    /// The dyno's first process, as the host sees it.
    pub init_pid: i32,
    pub started_at: Timestamp,
}

/// One request on `control.sock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// SIGTERM to all processes now, SIGKILL after the grace.
    Stop {
        grace_ms: u64,
    },
    Status,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlAnswer {
    Done,
    Status { stopping: bool, attached: bool },
    Refused(String),
}

/// The one line that the supervisor prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartAnswer {
    Started(State),
    /// For the operator. Nothing runs.
    Failed(String),
}

#[cfg(test)]
mod tests {
    use renga_model::{Exit, ExitReason};

    use super::*;

    /// Version 1, as released supervisors and nodes read and write it: these lines may never change.
    #[test]
    fn the_words_of_version_1_look_like_this() {
        let started_at = "2026-01-02T03:04:05.5Z".parse().unwrap();
        let state = State { version: 1, supervisor_pid: 10, init_pid: 12, started_at };
        let state_json =
            r#"{"version":1,"supervisor_pid":10,"init_pid":12,"started_at":"2026-01-02T03:04:05.5Z"}"#;
        check(&state, state_json);
        check(&StartAnswer::Started(state), &format!(r#"{{"started":{state_json}}}"#));
        check(&StartAnswer::Failed("no such file".into()), r#"{"failed":"no such file"}"#);
        check(&Control::Stop { grace_ms: 30_000 }, r#"{"stop":{"grace_ms":30000}}"#);
        check(&Control::Status, r#""status""#);
        check(&ControlAnswer::Done, r#""done""#);
        let status = ControlAnswer::Status { stopping: false, attached: true };
        check(&status, r#"{"status":{"stopping":false,"attached":true}}"#);
        check(&ControlAnswer::Refused("why".into()), r#"{"refused":"why"}"#);
    }

    /// `label.json` and `exit.json` of dynos that began, or ended, under another build.
    #[test]
    fn the_files_of_version_1_look_like_this() {
        let label = Label {
            id: "00000000-0000-4000-8000-000000000001".parse().unwrap(),
            generation: 3,
            app: "00000000-0000-4000-8000-000000000002".parse().unwrap(),
            kind: DynoKind::Formation,
            name: "web.1".parse().unwrap(),
        };
        let label_json = r#"{"id":"00000000-0000-4000-8000-000000000001","generation":3,"app":"00000000-0000-4000-8000-000000000002","kind":"formation","name":"web.1"}"#;
        check(&label, label_json);
        let at = "2026-01-02T03:04:05.5Z".parse().unwrap();
        for (reason, json) in [
            (ExitReason::Exited, r#""exited""#),
            (ExitReason::OutOfMemory, r#""out_of_memory""#),
            (ExitReason::GraceOver, r#""grace_over""#),
            (ExitReason::NotStarted("why".into()), r#"{"not_started":"why"}"#),
            (ExitReason::SupervisorLost, r#""supervisor_lost""#),
        ] {
            let json = format!(r#"{{"code":3,"reason":{json},"at":"2026-01-02T03:04:05.5Z"}}"#);
            check(&Exit::new(3, reason, at), &json);
        }
    }

    #[test]
    fn the_spec_of_version_1_is_understood() {
        let spec: SupervisorSpec = serde_json::from_str(SPEC_1).unwrap();
        assert_eq!(spec.env["SECRET"].expose(), "s3cret");
        assert_eq!(spec.tty.map(|tty| (tty.columns, tty.rows)), Some((80, 24)));
        assert_eq!(spec.time_to_live, Some(Duration::from_secs(60)));
        assert!(spec.binds[0].read_only);
        assert_eq!(spec.hangup_interval, None);
        assert!(!format!("{spec:?}").contains("s3cret"));
    }

    const SPEC_1: &str = r#"{"version":1,"directory":"/d","label":{"id":"00000000-0000-4000-8000-000000000001",
        "generation":3,"app":"00000000-0000-4000-8000-000000000002","kind":"one_off","name":"run.1"},"hostname":"h",
        "rootfs":"/r","netns":"/n","binds":[{"source":"/s","target":"/t","read_only":true}],"argv":["bash"],
        "env":{"SECRET":"s3cret"},"cwd":"/app","uid_base":100000,"uid_count":65536,"uid":1000,"gid":1000,
        "cgroup":"renga-a/b","memory_hard_bytes":1073741824,"cpu_shares":256,"processes_max":256,
        "open_files_max":10000,"tty":{"columns":80,"rows":24},"attach":true,"log_bytes_max":1048576,
        "time_to_live":{"secs":60,"nanos":0},"reader_uid":900}"#;

    fn check<T: Serialize + for<'de> Deserialize<'de> + PartialEq + std::fmt::Debug>(value: &T, json: &str) {
        assert_eq!(serde_json::to_string(value).unwrap(), json);
        assert_eq!(&serde_json::from_str::<T>(json).unwrap(), value);
    }
}
