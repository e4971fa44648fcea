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
//! | `exec.sock` | supervisor, since version 2 | an order ([`ExecOrder`]) in a frame, then as on `attach.sock` |
//! | `log/` | supervisor | segments of output records |
//!
//! The [`SupervisorSpec`] itself carries config vars, so it never touches the disk: the node writes it to the
//! supervisor's standard input and closes it. The supervisor answers with one line on its standard output,
//! [`StartAnswer`], closes that too, and lives on by itself.
//!
//! ```text
//! spec on stdin ──> {"started":{..}} ──> state.json, sockets, log/ ──process ends──> exit.json ──> gone
//!        └────────> {"failed":".."}  ──> gone, nothing left but the directory
//! ```
//!
//! The crate has no async code: the supervisor is a small poll loop, and what the node and the server need of it
//! ([`InputFrame`], [`SegmentReader`]) is pure or a few short system calls.

mod exec;
mod files;
mod frame;
mod segment;
mod spec;

pub use exec::ExecOrder;
pub use files::{DynoDirectory, FileError, read_json, write_json};
pub use frame::{FRAME_DATA_BYTES_MAX, FrameError, InputFrame, OutputFrame, put_data};
pub use segment::{
    Access, Entry, LineEnd, NO_TAG, NewRecord, RECORD_BYTES_MAX, RECORD_HEAD_BYTES, Record, SegmentConfig,
    SegmentError, SegmentReader, SegmentWriter, Stream,
};
pub use spec::{Bind, Control, ControlAnswer, Label, StartAnswer, State, SupervisorSpec};

/// 2: further processes inside a dyno. A supervisor of version 1 has no `exec.sock`.
pub const PROTOCOL_VERSION: u32 = 2;

/// What one dyno may watch files with. The kernel counts all dynos together against the host's limits, too
/// (`fs.inotify.max_user_*`), which the node therefore raises.
pub const INOTIFY_INSTANCES_MAX: u64 = 128;
pub const INOTIFY_WATCHES_MAX: u64 = 65_536;
