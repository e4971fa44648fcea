//! The router: `renga router`, a process of its own that carries the traffic of all apps and knows nothing but a
//! table.
//!
//! A client's request comes in on any port, as HTTP or TLS; its `Host` names an app; the app's table row names the
//! dynos; one of them gets the request. Bodies stream both ways, upgrades become byte pipes, and when it is over one
//! line in Heroku's words goes into the journal. What can go wrong on the way has an H-code, a page and a limit
//! ([`Limits`]).
//!
//! ```text
//!             thread 0 .. n, each alone with its sockets, its connections to dynos and its buffer of lines
//!             ┌────────────────────────────────────────────────────────────────────────────┐
//! client ──> door ──> h1, h2 ──> intake ──> carry ──> forward (hold, choose, connect)      │
//!             │                               └──> transfer (ask, relay) or pipe <──> dyno │
//!             └─────────────────────────┬──────────────────────┬───────────────────────────┘
//!                          table (read once per request)   journal ──> directory/log/*.seg ──> server
//!                                       ^
//! server ── UnixRouteFeed ──> directory/control.sock        server <── certificates socket <── router
//! ```
//!
//! The router goes on with its last table when the server is away, also after a start of its own
//! (`directory/table.json`), refuses tables older than the newest it has seen, and says of every dyno, also of those
//! that have left the table, how many requests it still has.
//!
//! A router that starts while another one runs in the same directory takes over from it: nobody who connects waits, and
//! the other one ends when its last request has (`succession`).
//!
//! It refuses to know apps, releases or accounts, to read the environment, to buffer bodies, and to repeat a request
//! that may have been acted on. It runs without privileges; whoever starts it may hand it bound sockets
//! ([`Listeners`]).

mod affinity;
mod answer;
mod buffer;
mod carry;
mod certificates;
mod challenge;
mod client;
mod client_io;
mod codes;
mod config;
mod control;
mod door;
mod dyno_io;
mod exchange;
mod feed;
mod forward;
mod forwarded;
mod frame;
mod h1;
mod h2;
mod head;
mod http;
mod intake;
mod interim;
mod journal;
mod last_word;
mod listen;
mod metrics;
mod pages;
mod persist;
mod pipe;
mod pool;
mod predecessors;
mod proxy_protocol;
mod router;
mod status;
mod succession;
mod table;
mod thread;
mod transfer;
mod watch;

pub use certificates::{Issued, Issuer, serve as serve_certificates};
pub use config::{Config, Limits};
pub use feed::UnixRouteFeed;
pub use forwarded::{Network, NotANetwork};
pub use listen::{Addresses, Listeners};
pub use router::{Router, RouterError, run};
pub use status::{Busy, Draining, Listening, Status, listening, metrics_of, status_of};
