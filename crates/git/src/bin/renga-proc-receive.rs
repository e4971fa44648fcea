//! The hook alone, for this crate's tests (see `Cargo.toml`).

use std::process::ExitCode;

fn main() -> ExitCode {
    renga_git::proc_receive_main()
}
