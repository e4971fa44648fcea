//! Names that people give to things, each parsed at the door.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::limits;

/// Why a name was refused: `what` it should have named and the `rule` it broke, in words that a user may read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {rule}")]
pub struct InvalidName {
    pub what: &'static str,
    pub rule: &'static str,
}

macro_rules! text_newtype {
    ($name:ident, $check:expr) => {
        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                $check(&text)?;
                Ok(Self(text))
            }
        }
        impl std::str::FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::try_from(text.to_owned())
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}
pub(crate) use text_newtype;

/// `^[a-z][a-z0-9-]{1,28}[a-z0-9]$`: the schema's pattern, 3 to 30 characters. It is a DNS label and a folder name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AppName(String);
text_newtype!(AppName, check_app_name);

/// `web`, `worker`, ...: `^[A-Za-z0-9_-]{1,128}$`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProcessType(String);
text_newtype!(ProcessType, check_process_type);

/// `heroku-24`, `host`, ...: `^[a-z][a-z0-9-]{0,39}$`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StackName(String);
text_newtype!(StackName, check_stack_name);

/// `acme-widgets`: `^[a-z0-9][a-z0-9-]{1,58}[a-z0-9]$`, and nothing that the API would take for something else.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TeamName(String);
text_newtype!(TeamName, check_team_name);

/// The SHA-256 of a layer image, as 64 lower-case hex digits. Also its file name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LayerDigest(String);
text_newtype!(LayerDigest, check_layer_digest);

/// `web.1`, `run.4711`: what `$DYNO` holds. Unique per app only among dynos that run at one time.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DynoName {
    process_type: ProcessType,
    number: u32,
}

impl ProcessType {
    pub fn web() -> Self {
        Self("web".into())
    }
    pub fn release() -> Self {
        Self("release".into())
    }
    pub fn run() -> Self {
        Self("run".into())
    }
    pub fn is_web(&self) -> bool {
        self.0 == "web"
    }
    /// The release phase command: declared like a process type, never scaled.
    pub fn is_release(&self) -> bool {
        self.0 == "release"
    }
}

impl DynoName {
    pub fn new(process_type: ProcessType, number: u32) -> Self {
        Self { process_type, number }
    }
    pub fn process_type(&self) -> &ProcessType {
        &self.process_type
    }
    pub fn number(&self) -> u32 {
        self.number
    }
}

impl fmt::Display for DynoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.process_type, self.number)
    }
}
impl fmt::Debug for DynoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for DynoName {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let refuse = InvalidName { what: "Dyno name", rule: "must look like web.1" };
        let (process_type, number) = text.rsplit_once('.').ok_or(refuse.clone())?;
        let number = number.parse().ok().filter(|n| *n > 0).ok_or(refuse)?;
        Ok(Self { process_type: process_type.parse()?, number })
    }
}
impl TryFrom<String> for DynoName {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}
impl From<DynoName> for String {
    fn from(name: DynoName) -> String {
        name.to_string()
    }
}

// === the rules ===

fn check_app_name(text: &str) -> Result<(), InvalidName> {
    let refuse = |rule| Err(InvalidName { what: "Name", rule });
    let bytes = text.as_bytes();
    if bytes.len() > limits::APP_NAME_BYTES_MAX {
        return refuse("is too long (maximum is 30 characters)");
    }
    if bytes.len() < limits::APP_NAME_BYTES_MIN {
        return refuse("is too short (minimum is 3 characters)");
    }
    let legal = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    if !bytes[0].is_ascii_lowercase() || !bytes.iter().all(legal) || bytes.ends_with(b"-") {
        return refuse(
            "must start with a letter, end with a letter or digit and can only contain lowercase letters, digits, and dashes",
        );
    }
    Ok(())
}

fn check_process_type(text: &str) -> Result<(), InvalidName> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if text.is_empty() || text.len() > limits::PROCESS_TYPE_BYTES_MAX || !text.bytes().all(legal) {
        return Err(InvalidName {
            what: "Process type",
            rule: "must be 1 to 128 letters, digits, dashes or underscores",
        });
    }
    Ok(())
}

fn check_team_name(text: &str) -> Result<(), InvalidName> {
    /// Words of the API's paths below `/teams`.
    const TAKEN: [&str; 3] = ["apps", "invitations", "permissions"];
    let invalid = |rule| Err(InvalidName { what: "Team name", rule });
    if text.len() < limits::APP_NAME_BYTES_MIN || text.len() > limits::TEAM_NAME_BYTES_MAX {
        return invalid("must have 3 to 60 characters");
    }
    if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return invalid("may only contain lowercase letters, digits and dashes");
    }
    if text.starts_with('-') || text.ends_with('-') {
        return invalid("must begin and end with a letter or a digit");
    }
    if TAKEN.contains(&text) || text.parse::<uuid::Uuid>().is_ok() {
        return invalid("means something else to the API; choose another");
    }
    Ok(())
}

fn check_stack_name(text: &str) -> Result<(), InvalidName> {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let starts = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    if !starts || text.len() > limits::STACK_NAME_BYTES_MAX || !text.bytes().all(legal) {
        return Err(InvalidName { what: "Stack", rule: "must be lower-case letters, digits and dashes" });
    }
    Ok(())
}

fn check_layer_digest(text: &str) -> Result<(), InvalidName> {
    let legal = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if text.len() != 64 || !text.bytes().all(legal) {
        return Err(InvalidName { what: "Layer digest", rule: "must be 64 lower-case hex digits" });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_names_follow_the_schema_pattern() {
        for good in ["abc", "a-b", "shrouded-anchorage-35377", &"a".repeat(30)] {
            assert!(good.parse::<AppName>().is_ok(), "{good}");
        }
        let long = "a".repeat(300);
        for bad in
            ["", "ab", "1abc", "abc-", "Abc", "a b", "a;rm -rf /", "ünïcode", "a/../b", "a\nb", long.as_str()]
        {
            assert!(bad.parse::<AppName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn dyno_names_round_trip() {
        let name: DynoName = "web-api.12".parse().unwrap();
        assert_eq!((name.process_type().as_str(), name.number()), ("web-api", 12));
        assert_eq!(name.to_string(), "web-api.12");
        for bad in ["web", "web.", "web.0", "web.x", ".1", "../x.1"] {
            assert!(bad.parse::<DynoName>().is_err(), "{bad}");
        }
    }
}
