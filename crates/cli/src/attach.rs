//! An attached one-off dyno: the user's terminal at one end of a TLS connection, the process at the other.
//!
//! ```text
//! POST /dynos ─> rendezvous://HOST:PORT/SECRET
//! TLS ─> "SECRET\r\n" ─> "rendezvous\r\n" ─> Attached ── keys ──>  process
//!                                               <── output ──
//! Attached ─ status line ─> Ended(code)     the shell that runs the command prints it when the command has ended
//! Attached ─ end of stream ─> Lost          the dyno was stopped, or the connection broke
//! Attached ─ signal, or four Ctrl-C ─> Left the process is hung up on
//! ```
//!
//! There is no message for the window's size in the stream; a second connection (`SECRET/window`) carries it, and a
//! platform that does not know it loses nothing.

mod command;
mod session;
mod status;
mod window;

pub(crate) use command::{ExecArgs, InsideArgs, RunArgs, exec, inside, run, run_detached};
