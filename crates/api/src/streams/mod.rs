//! Answers that are streams, behind URLs that are their own key.

pub(crate) mod log_session;
pub(crate) mod output;
pub(crate) mod slug;
pub(crate) mod source;
