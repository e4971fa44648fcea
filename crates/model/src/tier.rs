//! Tiers of accounts: how many dynos an account may have over all its apps. The operator names them; whoever is in none
//! has no limit.

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    /// `free`
    pub name: String,
    pub dynos_max: u32,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tiers {
    /// E-mail address, and what that account is in.
    accounts: Vec<(String, Tier)>,
    /// What everybody else is in.
    others: Option<Tier>,
}

impl Tiers {
    pub fn new(accounts: Vec<(String, Tier)>, others: Option<Tier>) -> Self {
        Self { accounts, others }
    }

    /// None: without limit.
    pub fn of(&self, email: &str) -> Option<&Tier> {
        let named = self.accounts.iter().find(|(account, _)| account.eq_ignore_ascii_case(email));
        named.map(|(_, tier)| tier).or(self.others.as_ref())
    }
}

impl Tier {
    /// Heroku's words: `Free accounts support one dyno.`
    pub fn says(&self) -> String {
        let mut name = self.name.clone();
        name.get_mut(..1).into_iter().for_each(str::make_ascii_uppercase);
        match self.dynos_max {
            1 => format!("{name} accounts support one dyno."),
            most => format!("{name} accounts support {most} dynos."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_in_the_tier_that_names_them_or_in_that_of_the_others() {
        let tier = |name: &str, dynos_max| Tier { name: name.into(), dynos_max };
        let tiers = Tiers::new(vec![("A@example.com".into(), tier("team", 5))], Some(tier("free", 1)));
        assert_eq!(tiers.of("a@example.com").unwrap().says(), "Team accounts support 5 dynos.");
        assert_eq!(tiers.of("b@example.com").unwrap().says(), "Free accounts support one dyno.");
        assert_eq!(Tiers::default().of("b@example.com"), None);
    }
}
