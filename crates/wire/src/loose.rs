//! What clients write in place of what is meant: heroku3 (PyPI) sends 0 and 1 for no and yes, heroku-go (and so the
//! Terraform provider) `null` for an empty list.

use serde::{Deserialize, Deserializer, de::Error};

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Plain(bool),
    Number(u8),
}

impl Written {
    fn meant<E: Error>(self) -> Result<bool, E> {
        match self {
            Self::Plain(flag) => Ok(flag),
            Self::Number(number @ (0 | 1)) => Ok(number == 1),
            Self::Number(_) => Err(E::custom("must be true or false")),
        }
    }
}

pub(crate) fn flag<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    let written = Written::deserialize(from).map_err(|_| D::Error::custom("must be true or false"))?;
    written.meant()
}

pub(crate) fn flag_or_none<'de, D: Deserializer<'de>>(from: D) -> Result<Option<bool>, D::Error> {
    let written = Option::deserialize(from).map_err(|_| D::Error::custom("must be true or false"))?;
    written.map(Written::meant).transpose()
}

pub(crate) fn list_or_null<'de, T, D>(from: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::deserialize(from).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use crate::{AppUpdate, BuildpackUpdates, FeatureUpdate};

    #[test]
    fn numbers_stand_for_flags() {
        let enabled =
            |text: &str| serde_json::from_str::<FeatureUpdate>(text).map(|update| update.enabled).ok();
        assert_eq!(enabled(r#"{"enabled":true}"#), Some(true));
        assert_eq!(enabled(r#"{"enabled":0}"#), Some(false));
        assert_eq!(enabled(r#"{"enabled":1}"#), Some(true));
        for bad in [r#"{"enabled":2}"#, r#"{"enabled":"true"}"#, r#"{"enabled":null}"#, "{}"] {
            assert_eq!(enabled(bad), None, "{bad}");
        }
        let maintenance = |text: &str| serde_json::from_str::<AppUpdate>(text).map(|u| u.maintenance).ok();
        assert_eq!(maintenance(r#"{"maintenance":0}"#), Some(Some(false)));
        assert_eq!(maintenance("{}"), Some(None));
        assert_eq!(maintenance(r#"{"maintenance":null}"#), Some(None));
        assert_eq!(maintenance(r#"{"maintenance":-1}"#), None);
    }
    #[test]
    fn null_stands_for_an_empty_list() {
        let updates =
            |text: &str| serde_json::from_str::<BuildpackUpdates>(text).map(|u| u.updates.len()).ok();
        assert_eq!(updates(r#"{"updates":null}"#), Some(0));
        assert_eq!(updates(r#"{"updates":[{"buildpack":"heroku/python"}]}"#), Some(1));
        assert_eq!(updates("{}"), None);
    }
}
