//! `[tiers.NAME]`: how many dynos an account may have.

use std::collections::BTreeMap;

use renga_model::{Tier, Tiers};
use serde::Deserialize;

/// One table `[tiers.NAME]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TypedTier {
    /// Of all apps of an account together; one-off dynos do not count.
    pub(crate) dynos: Option<u32>,
    /// E-mail addresses of those who are in it.
    pub(crate) accounts: Vec<String>,
    /// Whether everybody is in it whom no tier names (but never the operator's account).
    pub(crate) others: bool,
}

pub(super) fn tiers(
    typed: &BTreeMap<String, TypedTier>,
    admin_email: &str,
    mistakes: &mut Vec<String>,
) -> Tiers {
    let (mut accounts, mut others): (Vec<(String, Tier)>, Option<Tier>) = (Vec::new(), None);
    let unlimited = Tier { name: "operator".into(), dynos_max: u32::MAX };
    for (name, typed) in typed {
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            mistakes.push(format!("tiers.{name:?}: a tier's name has letters, digits and hyphens"));
        }
        let Some(dynos_max) = typed.dynos else {
            mistakes.push(format!("tiers.{name}.dynos is missing: the most dynos of one account"));
            continue;
        };
        let tier = Tier { name: name.clone(), dynos_max };
        for email in &typed.accounts {
            if let Some((_, other)) = accounts.iter().find(|(known, _)| known.eq_ignore_ascii_case(email)) {
                mistakes.push(format!("tiers.{name}.accounts: {email} is in tiers.{} already", other.name));
            }
            accounts.push((email.clone(), tier.clone()));
        }
        if let Some(other) = others.as_ref().filter(|_| typed.others) {
            mistakes.push(format!("tiers.{name}.others: tiers.{} has it already", other.name));
        }
        others = others.or_else(|| typed.others.then_some(tier));
    }
    if !accounts.iter().any(|(email, _)| email.eq_ignore_ascii_case(admin_email)) {
        accounts.push((admin_email.to_owned(), unlimited));
    }
    Tiers::new(accounts, others)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(toml: &str) -> (Tiers, Vec<String>) {
        let typed: BTreeMap<String, TypedTier> = toml::from_str(toml).unwrap();
        let mut mistakes = Vec::new();
        (tiers(&typed, "me@example.com", &mut mistakes), mistakes)
    }

    #[test]
    fn everybody_has_a_tier_and_the_operator_no_limit() {
        let (tiers, mistakes) =
            read("[free]\ndynos = 1\nothers = true\n[team]\ndynos = 5\naccounts = [\"a@b.c\"]\n");
        assert_eq!(mistakes, Vec::<String>::new());
        let most = |email| tiers.of(email).unwrap().dynos_max;
        assert_eq!([most("x@y.z"), most("A@b.c"), most("me@example.com")], [1, 5, u32::MAX]);
        assert_eq!(read("").0.of("x@y.z"), None);
    }

    #[test]
    fn every_mistake_is_told() {
        let (_, mistakes) = read(
            "[\"a b\"]\ndynos = 1\naccounts = [\"a@b.c\"]\nothers = true\n[c]\naccounts = [\"a@b.c\"]\n[d]\ndynos = 2\naccounts = [\"A@b.c\"]\nothers = true\n",
        );
        for (mistake, part) in
            mistakes.iter().zip(["a b", "tiers.c.dynos", "tiers.d.accounts", "tiers.d.others"])
        {
            assert!(mistake.contains(part), "{mistakes:#?}");
        }
        assert_eq!(mistakes.len(), 4);
    }
}
