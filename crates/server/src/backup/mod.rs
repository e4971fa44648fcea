//! `renga backup` and `renga restore`: a whole platform in one file, taken while it works, and put up again from it.
//!
//! ```text
//! snapshot of the ledger ──> hold the layers that it names ──> ledger, secrets, git, outputs, layers ──> one file
//!
//! one file ──> a folder beside the data directory: every digest, the key, every repository ──> renamed into place
//! ```
//!
//! The ledger is copied first, so whatever it names exists when it is looked for. A layer is held by opening it:
//! collection may take its name meanwhile, and not its content; the hold ends with this process, however that ends.
//! One that went between the snapshot and the opening makes a new snapshot.

mod format;
mod hold;
mod progress;
mod restore;
mod take;

use std::path::PathBuf;

pub(crate) use restore::run as restore;
pub(crate) use take::run as backup;

#[derive(Debug, clap::Args)]
pub(crate) struct BackupArgs {
    /// Where the backup goes; `-` is standard output. Whoever reads it has every secret of the platform, the master
    /// key and config vars included: it is made with mode 0600, and nothing encrypts it
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) config: crate::config::ConfigArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArgs {
    /// What `renga backup` wrote; `-` is standard input
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) config: crate::config::ConfigArgs,
}

fn is_standard(file: &std::path::Path) -> bool {
    file.as_os_str() == "-"
}
