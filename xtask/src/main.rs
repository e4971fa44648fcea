//! What a developer of Renga asks the tree to do: `cargo xtask COMMAND`.
//!
//! * `build` makes the one file `renga`: first the two supervisors, then the program that carries them.
//! * `tidy` holds the house rules that neither the compiler nor clippy knows (ARCHITECTURE.md lists them).
//! * `deny` holds the rules about other people's code: licences, origins, duplicates.
//! * `api-coverage` counts the links of the published Platform API that are offered.
//! * `ci` is everything that needs no root: format, clippy, tidy, deny, tests.
//!
//! Nothing here is shipped. It refuses to guess: an unknown word is an error, never a default.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool for a terminal")]

mod bundle;
mod ci;
mod deny;
mod tidy;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
Usage: cargo xtask COMMAND

  build [--profile release|dist|dev]   make target/PROFILE/renga, supervisors inside
  tidy [--bless]                       house rules; --bless lowers the ratchets to what is needed now
  deny                                 licences, origins and duplicates of dependencies
  api-coverage [--bless]               links of the Platform API that are offered; the last line is `links N/305`
  ci                                   fmt, clippy, tidy, deny, tests (no root needed)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!(" !     {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<()> {
    match arguments {
        ["build"] => bundle::build("release"),
        ["build", "--profile", profile] => bundle::build(profile),
        ["tidy"] => tidy::run(tidy::Mode::Check),
        ["tidy", "--bless"] => tidy::run(tidy::Mode::Bless),
        ["deny"] => deny::run(),
        ["api-coverage"] => api_coverage(&[]),
        ["api-coverage", "--bless"] => api_coverage(&["--", "--bless"]),
        ["ci"] => ci::run(),
        ["--help" | "-h" | "help"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => bail!("not understood: cargo xtask {}\n{USAGE}", arguments.join(" ")),
    }
}

/// The table of endpoints is the API's own: it counts itself.
fn api_coverage(rest: &[&str]) -> Result<()> {
    let count = ["run", "--quiet", "--package", "renga-api", "--example", "coverage"];
    workspace::succeed(workspace::cargo().args(count).args(rest))
}
