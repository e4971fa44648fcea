//! The loops. Each file's head says what it wants, what it sees, and which step follows.

pub(crate) mod acm;
pub(crate) mod builds;
pub(crate) mod deletions;
pub(crate) mod dynos;
pub(crate) mod formation;
pub(crate) mod freeze;
pub(crate) mod garbage;
pub(crate) mod inventory;
pub(crate) mod letters;
pub(crate) mod one_offs;
pub(crate) mod outbox;
pub(crate) mod releases;
pub(crate) mod routes;
pub(crate) mod sleep;
pub(crate) mod usage;
