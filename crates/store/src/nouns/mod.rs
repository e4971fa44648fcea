//! One file per noun: its rows, and the methods that it gives to [`Read`](crate::Read) and [`Tx`](crate::Tx).

mod account;
mod across;
mod app;
mod build;
mod cache;
mod collaborator;
mod domain;
mod dyno;
mod expiry;
mod favorite;
mod formation;
mod key;
mod letter;
mod misc;
mod oauth;
mod one_time;
mod outbox;
mod release;
mod sleep;
mod slot;
mod slug;
mod source;
mod step;
mod team;
mod token;
mod transfer;
mod two_factor;

pub use cache::BuildCache;
pub use letter::StoredLetter;
pub use outbox::Told;
pub use sleep::Sleep;
pub use slot::Slot;
pub use source::Source;
pub use step::{Step, StepKey, StepState};
pub use two_factor::TwoFactor;
