//! Config vars: the environment of an app, part of every release.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{InvalidName, Refusal, Secret, limits};

/// A name that bash accepts as a variable: letters, digits and `_`, not starting with a digit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ConfigKey(String);

impl ConfigKey {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl fmt::Display for ConfigKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for ConfigKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl TryFrom<String> for ConfigKey {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let digit_first = text.bytes().next().is_some_and(|b| b.is_ascii_digit());
        if text.is_empty()
            || text.len() > limits::CONFIG_KEY_BYTES_MAX
            || digit_first
            || !text.bytes().all(legal)
        {
            return Err(InvalidName {
                what: "Config var name",
                rule: "may only contain letters, digits and underscores, and may not begin with a digit",
            });
        }
        Ok(Self(text))
    }
}
impl FromStr for ConfigKey {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::try_from(text.to_owned())
    }
}
impl From<ConfigKey> for String {
    fn from(key: ConfigKey) -> String {
        key.0
    }
}

/// All config vars of one release.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConfigVars(BTreeMap<ConfigKey, Secret>);

impl ConfigVars {
    pub fn get(&self, key: &str) -> Option<&Secret> {
        self.0.iter().find(|(k, _)| k.as_str() == key).map(|(_, v)| v)
    }
    pub fn iter(&self) -> impl Iterator<Item = (&ConfigKey, &Secret)> {
        self.0.iter()
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The vars after `changes` (`None` removes). Refuses reserved names and more than 64 KiB in all.
    pub fn changed(&self, changes: &BTreeMap<ConfigKey, Option<Secret>>) -> Result<Self, Refusal> {
        let mut vars = self.0.clone();
        for (key, value) in changes {
            refuse_reserved(key)?;
            match value {
                Some(value) if value.expose().contains('\0') => {
                    return Err(Refusal::invalid(format!("The value of {key} contains a NUL byte.")));
                }
                Some(value) => drop(vars.insert(key.clone(), value.clone())),
                None => drop(vars.remove(key)),
            }
        }
        let bytes: usize = vars.iter().map(|(k, v)| k.as_str().len() + v.expose().len()).sum();
        if bytes > limits::CONFIG_BYTES_MAX {
            return Err(Refusal::invalid(format!(
                "Config vars may hold at most {} KB per app; these would hold {} KB.",
                limits::CONFIG_BYTES_MAX / 1024,
                bytes.div_ceil(1024)
            )));
        }
        Ok(Self(vars))
    }
}

impl FromIterator<(ConfigKey, Secret)> for ConfigVars {
    fn from_iter<I: IntoIterator<Item = (ConfigKey, Secret)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

/// Names whose meaning the platform owns: a value from the user would be overwritten or would break the dyno.
fn refuse_reserved(key: &ConfigKey) -> Result<(), Refusal> {
    const RESERVED: [&str; 4] = ["PORT", "DYNO", "PS1", "HOME"];
    if RESERVED.contains(&key.as_str()) {
        return Err(Refusal::invalid(format!(
            "{key} is set by the platform and can't be used as a config var."
        )));
    }
    if key.as_str().starts_with("__") {
        return Err(Refusal::invalid(format!("{key}: config var names that begin with __ are reserved.")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(key: &str, value: Option<&str>) -> BTreeMap<ConfigKey, Option<Secret>> {
        BTreeMap::from([(key.parse().unwrap(), value.map(Secret::new))])
    }

    #[test]
    fn a_change_sets_and_removes() {
        let vars = ConfigVars::default().changed(&change("TIMES", Some("2"))).unwrap();
        assert_eq!(vars.get("TIMES").unwrap().expose(), "2");
        assert!(vars.changed(&change("TIMES", None)).unwrap().is_empty());
    }

    #[test]
    fn too_much_and_reserved_names_are_refused() {
        let big = "x".repeat(100_000);
        assert!(ConfigVars::default().changed(&change("BIG", Some(&big))).is_err());
        assert!(ConfigVars::default().changed(&change("PORT", Some("1"))).is_err());
        for bad in ["", "1A", "A-B", "A B", "Ä", "A=B"] {
            assert!(bad.parse::<ConfigKey>().is_err(), "{bad}");
        }
    }

    #[test]
    fn secrets_do_not_show() {
        assert_eq!(
            format!("{:?}", ConfigVars::default().changed(&change("A", Some("pw"))).unwrap()),
            "ConfigVars({A: (secret)})"
        );
    }
}
