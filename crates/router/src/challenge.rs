//! Certificate authorities that want to see that a name leads here (ACME's http-01). Which tokens there are, and what
//! each is answered with, stands in the table; every other path of theirs is the app's.

use bytes::Bytes;

use crate::{answer::Page, table::Table};

const PREFIX: &str = "/.well-known/acme-challenge/";

/// The answer, on whatever host and whatever its app, if the path names a token of the table.
pub(crate) fn answer(table: &Table, path: &str) -> Option<Page> {
    if table.challenges.is_empty() {
        return None;
    }
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let found = table.challenges.get(path.strip_prefix(PREFIX)?)?;
    let body = Bytes::copy_from_slice(found.as_bytes());
    Some(Page { status: 200, location: None, content_type: "text/plain", body })
}
