//! Repositories of apps: smart HTTP for `git push` and `git clone`, and the git port of the engine.
//!
//! The system's `git` does the packs. It is called with argument vectors, an empty environment and settings of our
//! own ([`GitStore`]); no word of a user ever reaches a shell, and a path is made of ids alone. The crate refuses to
//! know who may push (the caller of [`GitStore::serve`] has asked) and what a push means (the [`PushGate`] says).
//!
//! A push, from the client's request to the last line on its terminal:
//!
//! ```text
//!  git push ──POST──> serve ──spawn──> git receive-pack ──hook──> proc-receive ──socket──> serve_hooks ──> PushGate
//!           <─body───       <─stdout─                   <─stderr─              <─progress─             <─   │
//!                                                       <─ok/ng──              <─verdicts─             <────┘
//! ```
//!
//! * `serve` makes a one-time token for (app, pusher), which the hook shows on the socket. Nothing else gets in.
//! * `receive-pack` checks the pack in quarantine, takes the objects over, and asks the `proc-receive` hook, which
//!   decides about **every** ref: receive-pack itself moves none.
//! * `serve_hooks` refuses deletions and updates that saw an older ref, keeps the pushed objects alive by a staging
//!   ref (`refs/renga/staging/<commit>`, hidden from clients), and calls the gate on a task of its own. If the pusher
//!   goes away, that task goes on to its end.
//! * the engine calls `branch_move` when the release stands; the staging ref goes with it, or when the gate is done.
//!
//! The hook is the file `hooks/proc-receive` below the root, a symlink to the program given in [`Config`]; that
//! program must call [`proc_receive_main`] when its name is `proc-receive`.
//!
//! [`PushGate`]: renga_ports::PushGate

mod archive;
mod bundle;
mod command;
mod config;
mod endpoint;
mod error;
mod gate;
mod hook;
mod input;
mod output;
mod packet;
mod push;
mod serve;
mod store;
mod submodule;
mod tar;

pub use bundle::{Bundles, Pointers};
pub use config::{Config, Limits};
pub use endpoint::{Endpoint, Service};
pub use error::refusal_response;
pub use hook::{HOOK_NAME, proc_receive_main};
pub use output::Body;
pub use serve::Caller;
pub use store::GitStore;
