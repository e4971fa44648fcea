//! What the binary that uses this crate must decide.

use std::{path::PathBuf, time::Duration};

use renga_model::limits;

#[derive(Debug, Clone)]
pub struct Config {
    /// Journals of apps: `<root>/<app-id>/`. Only one store at a time may use it.
    pub root: PathBuf,
    /// Journals of outputs: `<outputs>/<name>/`.
    pub outputs: PathBuf,
    /// The node's dynos: segments at `<dynos>/<id>/log/`, the end at `<dynos>/<id>/exit.json`.
    pub dynos: PathBuf,
    /// The router's segments.
    pub router: PathBuf,
    pub limits: Limits,
}

#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Lines of an app that are always there (1,500); up to twice as many are, and more if they are short.
    pub lines_kept_min: u64,
    /// A journal file of an app grows at least to this before the next one is begun (512 KiB).
    pub log_file_bytes_min: u64,
    /// An output in all (300 MB): when its second half is full, the first goes.
    pub output_bytes_max: u64,
    /// How long a reader waits for an output that has not begun (10 s): who asked for a build reads before it starts.
    pub output_wait_max: Duration,
    /// Files without use are closed after this (30 s).
    pub idle_max: Duration,
    /// Lines of the platform that wait to be written; beyond, the oldest go (16,384).
    pub queue_lines_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            lines_kept_min: limits::LOG_LINES_KEPT as u64,
            log_file_bytes_min: 512 * 1024,
            output_bytes_max: limits::OUTPUT_BYTES_MAX,
            output_wait_max: Duration::from_secs(10),
            idle_max: Duration::from_secs(30),
            queue_lines_max: 16_384,
        }
    }
}
