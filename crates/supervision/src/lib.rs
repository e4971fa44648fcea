//! What a dyno's supervisor, the node and the server leave for each other on disk and say on sockets.
//!
//! The supervisor outlives upgrades of everything else, so these formats are versioned and only ever grow:
//! `PROTOCOL_VERSION` goes up with each change, and golden transcripts of every version stay in the tests.
//!
//! Layout of a dyno's directory, `DATA_DIR/node/dynos/<id>/`: `spec.json` (written by the node before the start),
//! `state.json` (written by the supervisor: its pid, the init's pid, the cgroup), `exit.json` (written last, synced),
//! `control.sock` (stop, status), `attach.sock` (attached dynos), `log/` (output segments).

pub const PROTOCOL_VERSION: u32 = 1;
