//! What a dyno's supervisor, the node and the server leave for each other on disk and say on sockets.
//!
//! The supervisor outlives upgrades of everything else, so these formats are versioned and only ever grow:
//! [`PROTOCOL_VERSION`] goes up with each change, and golden transcripts of every version stay in the tests.
//!
//! A dyno's directory, `DATA_DIR/node/dynos/<id>/`, holds:
//!
//! | file | written by | what |
//! | --- | --- | --- |
//! | `label.json` | node, before anything is made | who this is ([`Label`]); holds no secret |
//! | `state.json` | supervisor, replaced atomically | pids and start time ([`State`]) |
//! | `exit.json` | supervisor, synced, last of all | how it ended ([`renga_model::Exit`]) |
//! | `control.sock` | supervisor | one JSON request a line, one answer a line ([`Control`]) |
//! | `attach.sock` | supervisor, attached dynos only | frames of input and output |
//! | `log/` | supervisor | segments of output records |
//!
//! The [`SupervisorSpec`] itself carries config vars, so it never touches the disk: the node writes it to the
//! supervisor's standard input.

mod spec;

pub use spec::{Bind, Control, ControlAnswer, Label, State, SupervisorSpec};

pub const PROTOCOL_VERSION: u32 = 1;
