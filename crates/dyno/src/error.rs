//! What can go wrong in a supervisor. All of it ends up with the operator, as one line.

use std::{error::Error, io, path::PathBuf};

use libcontainer::error::LibcontainerError;
use renga_supervision::{FileError, SegmentError};

#[derive(Debug, thiserror::Error)]
pub(crate) enum SupervisorError {
    #[error("could not understand the spec")]
    Spec(#[source] serde_json::Error),
    #[error("{0}")]
    Refused(String),
    #[error("could not {operation} {object}")]
    Io {
        operation: &'static str,
        object: String,
        #[source]
        cause: io::Error,
    },
    #[error("the dyno's user can't pass {}: it needs o+x", .0.display())]
    Impassable(PathBuf),
    #[error("could not {operation} the container")]
    Container {
        operation: &'static str,
        #[source]
        cause: Box<LibcontainerError>,
    },
    #[error("could not keep a file")]
    File(#[from] FileError),
    #[error("could not keep the output")]
    Segment(#[from] SegmentError),
}

impl SupervisorError {
    pub(crate) fn io<E: Into<io::Error>>(
        operation: &'static str,
        object: impl ToString,
    ) -> impl FnOnce(E) -> Self {
        let object = object.to_string();
        move |cause| Self::Io { operation, object, cause: cause.into() }
    }

    pub(crate) fn container(operation: &'static str) -> impl FnOnce(LibcontainerError) -> Self {
        move |cause| Self::Container { operation, cause: Box::new(cause) }
    }

    /// The error and its causes in one line.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let next = error.to_string();
            // Some libraries repeat the cause in their own text.
            if !text.ends_with(&next) {
                text.push_str(": ");
                text.push_str(&next);
            }
            cause = error.source();
        }
        text.replace('\n', " ")
    }
}
