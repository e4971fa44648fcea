//! `cargo xtask api-coverage`: counts the published links that are offered, and holds the ratchet. `--bless` lowers it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool for a terminal")]

use std::{fs, path::Path, process::ExitCode};

use renga_api::coverage::{Counts, Ratchet, links, report};

fn main() -> ExitCode {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("contract/ratchet.txt");
    let text = fs::read_to_string(&path).unwrap_or_default();
    let Some(ratchet) = Ratchet::parse(&text) else {
        eprintln!(" !     {} does not hold both counts", path.display());
        return ExitCode::FAILURE;
    };
    let counts = Counts::of(&links());
    let lowered = ratchet.lowered(counts);
    let bless = std::env::args().any(|argument| argument == "--bless");
    if bless
        && lowered != ratchet
        && let Err(error) = fs::write(&path, lowered.to_string())
    {
        eprintln!(" !     could not write {}: {error}", path.display());
        return ExitCode::FAILURE;
    }
    print!("{}", report());
    if ratchet.holds(counts) {
        return ExitCode::SUCCESS;
    }
    eprintln!(
        " !     More links are empty or not offered than {} allows; it may only shrink.",
        path.display()
    );
    ExitCode::FAILURE
}
