//! Why something could not be done, and how that is told to the caller of the port.

use std::{fmt, io, path::Path};

use renga_ports::RuntimeError;

/// The hand's own error. `Display` names operation and object; the cause is the source.
#[derive(Debug, thiserror::Error)]
pub enum HandError {
    #[error("could not {what} {object}")]
    Io {
        what: &'static str,
        object: String,
        #[source]
        cause: io::Error,
    },
    #[error("{program} failed: {said}")]
    Program { program: String, said: String },
    #[error("no such {0}")]
    NotFound(String),
    #[error("{0}")]
    Refused(String),
    #[error("no room: {0}")]
    NoRoom(String),
    /// The machine lacks something without which apps would not be isolated.
    #[error("{0}")]
    Unfit(String),
}

pub(crate) type Result<T> = std::result::Result<T, HandError>;

/// `result.doing("mount layer", path)?`
pub(crate) trait Doing<T> {
    fn doing(self, what: &'static str, object: impl fmt::Display) -> Result<T>;
}

impl<T, E: Into<io::Error>> Doing<T> for std::result::Result<T, E> {
    fn doing(self, what: &'static str, object: impl fmt::Display) -> Result<T> {
        self.map_err(|cause| HandError::Io { what, object: object.to_string(), cause: cause.into() })
    }
}

/// An error together with all its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// For clean-up that goes on whatever happens: tells, and forgets.
pub(crate) fn tell<T>(outcome: Result<T>) -> Option<T> {
    outcome.map_err(|error| tracing::warn!("{}", chain(&error))).ok()
}

/// Like [`tell`], for things that may be gone already.
pub(crate) fn gone_is_fine<E: Into<io::Error>>(
    outcome: std::result::Result<(), E>,
    what: &'static str,
    path: &Path,
) -> Result<()> {
    match outcome.map_err(Into::into) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause).doing(what, path.display()),
        _ => Ok(()),
    }
}

impl From<HandError> for RuntimeError {
    fn from(error: HandError) -> Self {
        match &error {
            HandError::NotFound(what) => Self::NotFound(what.clone()),
            HandError::Refused(why) => Self::Refused(why.clone()),
            HandError::NoRoom(why) => Self::NoRoom(why.clone()),
            HandError::Io { .. } | HandError::Program { .. } | HandError::Unfit(_) => {
                Self::Failed(chain(&error))
            }
        }
    }
}
