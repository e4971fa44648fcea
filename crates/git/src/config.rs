//! What the binary that uses this crate must decide.

use std::{path::PathBuf, time::Duration};

use renga_model::limits;
use tokio_util::task::TaskTracker;

#[derive(Debug, Clone)]
pub struct Config {
    /// Holds `<app-id>.git`, `hooks/` and `home/`. Owned by the server's uid alone.
    pub root: PathBuf,
    /// The program that calls [`crate::proc_receive_main`] when it is started as `proc-receive`.
    pub hook_program: PathBuf,
    /// Where the hook finds [`crate::GitStore::serve_hooks`]. At most 107 bytes long (a limit of Unix sockets).
    pub hook_socket: PathBuf,
    /// Environment for fetching submodules: proxies and CA bundle of the site (`HTTPS_PROXY`, `GIT_SSL_CAINFO`, ...).
    pub site_env: Vec<(String, String)>,
    /// Whether submodules may come from private and loopback addresses.
    pub submodules_from_private_addresses: bool,
    /// Bytes of disk that stay free: below them no push is received.
    pub disk_floor_bytes: u64,
    pub limits: Limits,
    /// Gate calls and processes run on it; a shutdown waits for it.
    pub tasks: TaskTracker,
}

#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A pushed pack (1 GB).
    pub pack_bytes_max: u64,
    /// The source that `archive` writes, submodules included.
    pub source_bytes_max: u64,
    /// A fetch request: what the client wants and has (16 MiB).
    pub fetch_request_bytes_max: u64,
    /// A whole push: transfer, queue, build, release phase (3 h).
    pub push_time_max: Duration,
    /// A whole fetch (1 h).
    pub fetch_time_max: Duration,
    /// Input that does not come (2 min).
    pub stall_time_max: Duration,
    /// A command on a repository, `archive` and collection included (5 min).
    pub command_time_max: Duration,
    /// Pushes and fetches at one time, over all apps.
    pub pushes_max: usize,
    pub fetches_max: usize,
    /// Refs that one push may name.
    pub refs_per_push_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pack_bytes_max: 1024 * 1024 * 1024,
            source_bytes_max: limits::SOURCE_BYTES_MAX,
            fetch_request_bytes_max: 16 * 1024 * 1024,
            push_time_max: Duration::from_secs(3 * 60 * 60),
            fetch_time_max: Duration::from_secs(60 * 60),
            stall_time_max: Duration::from_secs(2 * 60),
            command_time_max: Duration::from_secs(5 * 60),
            pushes_max: 64,
            fetches_max: 16,
            refs_per_push_max: 1_000,
        }
    }
}
