//! `/renga/build`: the frame around [`renga_builder::build`]. Without arguments it builds what the request says;
//! `provision python 3.14 FOLDER` puts an interpreter into a stack image that is being made.

use std::{collections::BTreeMap, path::Path, process::ExitCode, time::SystemTime};

use renga_builder::{Log, Places, build, conclude, provision_python};

/// What a wrong command line ends with, as everywhere in the platform.
const USAGE: u8 = 64;

#[expect(clippy::disallowed_methods, reason = "this is the binary: the clock enters here")]
fn main() -> ExitCode {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |age| age.as_secs());
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let places = Places::of_a_build_dyno();
    let mut log = Log::to_stdout();
    match args.as_slice() {
        [] => {
            let outcome = build(&places, &mut log, now);
            if conclude(&places, &mut log, outcome) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        ["provision", "python", version, folder] => {
            provision(&places, &mut log, now, version, Path::new(folder))
        }
        _ => {
            log.trouble("Usage: renga-build, or: renga-build provision python 3.14 FOLDER");
            ExitCode::from(USAGE)
        }
    }
}

fn provision(places: &Places, log: &mut Log, now: u64, version: &str, folder: &Path) -> ExitCode {
    let Some(minor) = version.strip_prefix("3.").and_then(|minor| minor.parse().ok()) else {
        log.trouble("The version must look like 3.14");
        return ExitCode::from(USAGE);
    };
    match provision_python(places, log, now, minor, folder, site_env()) {
        Ok(version) => {
            log.step(format!("Installed Python {version}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            log.trouble(error.explain());
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the binary: the environment enters here")]
fn site_env() -> BTreeMap<String, String> {
    let names = ["http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE"];
    names.into_iter().filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?))).collect()
}
