//! The commands, one file per noun, and what they share.

pub(crate) mod apps;
pub(crate) mod buildpacks;
pub(crate) mod config;
pub(crate) mod dynos;
pub(crate) mod logs;
pub(crate) mod releases;
pub(crate) mod repository;
pub(crate) mod session;
pub(crate) mod shell;

use std::io::{self, BufRead as _, Read as _};

use crate::{context::Context, errors::Failure};

/// Bytes of an answer typed by the user.
const LINE_BYTES_MAX: u64 = 16 * 1024;

/// The path of this program, for others who call it.
pub(crate) fn own_path() -> String {
    std::env::current_exe().map_or_else(|_| "renga".into(), |path| path.to_string_lossy().into_owned())
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
