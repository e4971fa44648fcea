//! The commands, one file per noun, and what they share.

pub(crate) mod shell;
