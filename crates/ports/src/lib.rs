//! The traits through which the engine touches the world, and the words they speak.
//!
//! Everything above these traits works the same whether a dyno lives on this machine or on a cluster: no path, pid or
//! container name of a machine passes upwards. Implementations are the hands (`node`, `git`, `logs`, `router`);
//! `testkit` has simulated ones. Every call may be repeated after a crash: doing it twice does it once.

mod acme;
mod build;
mod clock;
mod git;
mod logs;
mod mail;
mod routes;
mod runtime;

pub use acme::{Acme, AcmeError, DnsAction, OrderSeen, ProofKind};
pub use build::{
    BUILD_REQUEST_PATH, BUILD_RESULT_PATH, BuildFailure, BuildRequest, BuildResult, BuiltLayer, CachedLayer,
};
pub use clock::{Clock, SystemClock};
pub use git::{Git, GitError, PushGate, PushRequest, RefUpdate, RefVerdict};
pub use logs::{LogEntry, LogStream, Logs, LogsError, OutputInfo, OutputStream};
pub use mail::{Letter, Mail, MailError};
pub use routes::{Published, RouteFeed, RouteFeedError, Traffic};
pub use runtime::{
    AttachInput, AttachOutput, AttachSession, Capacity, DynoLimits, DynoPhase, DynoReport, DynoSpec,
    DynoUsage, ExecSpec, InputFile, LayerInfo, MountedLayer, PackedLayer, Runtime, RuntimeError, SpecFile,
    Tty,
};
