//! The commands, one file per noun, and what they share.

pub(crate) mod apps;
pub(crate) mod buildpacks;
pub(crate) mod config;
pub(crate) mod dynos;
pub(crate) mod keys;
pub(crate) mod labs;
pub(crate) mod logs;
pub(crate) mod people;
pub(crate) mod releases;
pub(crate) mod repository;
pub(crate) mod session;
pub(crate) mod shell;
pub(crate) mod status;
pub(crate) mod two_factor;
pub(crate) mod users;
pub(crate) mod waiting;
pub(crate) mod why;

use std::io::{self, BufRead as _, Read as _};

use crate::{context::Context, errors::Failure, git, platform::Place};

/// Bytes of an answer typed by the user.
const LINE_BYTES_MAX: u64 = 16 * 1024;

/// The path of this program, for others who call it.
pub(crate) fn own_path() -> String {
    std::env::current_exe().map_or_else(|_| "renga".into(), |path| path.to_string_lossy().into_owned())
}

/// Makes `git push` work here without exports, or says why it will not.
pub(crate) fn trust_repository(context: &Context<'_>, place: &Place) -> Result<(), Failure> {
    git::trust(place, &own_path())?;
    if place.ca.is_some()
        && context.env.get("GIT_SSL_CAINFO").is_some()
        && context.env.get("HEROKU_HOST").is_none()
    {
        context.out.note(
            "GIT_SSL_CAINFO is set in this shell and goes before this repository's settings: push with `renga exec -- \
             git push`.\n",
        );
    }
    Ok(())
}

/// Asks on stderr, reads one line.
pub(crate) fn ask(context: &Context<'_>, question: &str) -> Result<String, Failure> {
    context.out.note(question);
    let mut line = String::new();
    let read = io::stdin().lock().take(LINE_BYTES_MAX).read_line(&mut line);
    read.map_err(Failure::local("read your answer"))?;
    Ok(line.trim().to_owned())
}

pub(crate) fn confirmed(context: &Context<'_>, question: &str) -> Result<bool, Failure> {
    let answer = ask(context, &format!("{question} [y/n] "))?;
    Ok(matches!(answer.to_lowercase().as_str(), "y" | "yes"))
}
