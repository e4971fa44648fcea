//! An OCI image that somebody made elsewhere: what was said about it.

use jiff::Timestamp;

use crate::{AppId, OciImageId};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OciImage {
    pub id: OciImageId,
    pub app: AppId,
    /// Names the content; different things may have been said of the same.
    pub digest: String,
    /// JSON that only the faces understand.
    pub facts: String,
    pub created_at: Timestamp,
}
