//! Letters to people, over SMTP.
//!
//! ```text
//! engine ──Letter──> SmtpMail ──STARTTLS or TLS──> the operator's mail server ──> ...
//! ```
//!
//! The crate refuses to keep letters, to try again, and to know what they say: a letter that was not taken is the
//! engine's to bring again.

mod config;
mod smtp;

pub use config::{Config, ConfigMistake, Encryption};
pub use smtp::SmtpMail;
