//! The mail port: letters to people.

use async_trait::async_trait;
use renga_model::Secret;

/// Its text may hold a link that is its own key.
#[derive(Debug, Clone)]
pub struct Letter {
    pub to: String,
    pub subject: String,
    pub text: Secret,
}

#[async_trait]
pub trait Mail: Send + Sync + 'static {
    /// Good when the mail server has taken it.
    async fn send(&self, letter: &Letter) -> Result<(), MailError>;
}

#[derive(Debug, thiserror::Error)]
#[error("the mail server {server} did not take a letter: {cause}")]
pub struct MailError {
    pub server: String,
    pub cause: String,
    /// It would refuse the same letter again.
    pub permanent: bool,
}
