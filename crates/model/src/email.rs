//! E-mail addresses: an account's name to the world.

use std::fmt;

use crate::{InvalidName, limits};

/// An address that can belong to a person. Not a full parse of what mail allows: what is refused here could not be
/// typed into a header, a page or a terminal without care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email(String);

/// Addresses below this domain stand for teams, as Heroku shows them; they are nobody's.
pub const TEAM_DOMAIN: &str = "herokumanager.com";

impl Email {
    pub fn as_str(&self) -> &str {
        &self.0
    }
    pub fn into_string(self) -> String {
        self.0
    }
}

impl TryFrom<String> for Email {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        let invalid = |rule| Err(InvalidName { what: "E-mail address", rule });
        if text.len() > limits::EMAIL_BYTES_MAX {
            return invalid("has at most 254 characters");
        }
        let legal = |c: char| c.is_alphanumeric() || c.is_ascii_graphic() && !"\"(),:;<>[\\]/".contains(c);
        let (name, domain) = text.split_once('@').unwrap_or_default();
        if name.is_empty() || domain.is_empty() || domain.contains('@') || !text.chars().all(legal) {
            return invalid("looks like somebody@example.com");
        }
        if domain.eq_ignore_ascii_case(TEAM_DOMAIN) {
            return invalid("may not be one that stands for a team");
        }
        Ok(Self(text))
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_as_far_as_it_matters() {
        for good in
            ["a@b", "admin@localhost", "Jane.Doe+x@example.co.uk", "o'neil@example.com", "zoë@example.com"]
        {
            assert_eq!(Email::try_from(good.to_owned()).unwrap().as_str(), good);
        }
        let long = format!("{}@example.com", "a".repeat(250));
        for bad in [
            "",
            "a",
            "@",
            "a@",
            "@b",
            "a@b@c",
            "a b@c",
            "a@b\n",
            "a/b@c",
            "<a@b>",
            "x@HerokuManager.com",
            &long,
        ] {
            assert!(Email::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
