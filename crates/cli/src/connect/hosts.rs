//! Which of Heroku's names the platform answers for, and which nobody may be asked for from here.

/// The names that the official command line sends its token to, and the platform serves in their place. One certificate
/// stands for all of them.
pub const SERVED: [&str; 14] = [
    "api.heroku.com",
    "git.heroku.com",
    "api.data.heroku.com",
    "particleboard.heroku.com",
    "telex.heroku.com",
    "kolkrabbi.heroku.com",
    "cli-auth.heroku.com",
    "status.heroku.com",
    "buildpack-registry.heroku.com",
    "exec-manager.heroku.com",
    "registry.heroku.com",
    "api.metrics.heroku.com",
    "api.metrics.herokai.com",
    "pgdiagnose.herokai.com",
];

/// The official command line gives its token to every name below these. Apps (`herokuapp.com`) are not among them.
pub(crate) const DOMAINS: [&str; 4] = ["heroku.com", "herokai.com", "herokuspace.com", "herokudev.com"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// The platform answers.
    Platform,
    /// Heroku's own, and the platform has nothing like it: the token must not go there.
    Heroku,
    /// Somebody else's: none of our business.
    Other,
}

impl Owner {
    /// `host` in whatever case, perhaps with the root's dot.
    pub(super) fn of(host: &str) -> Self {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let below =
            |domain: &&str| host.strip_suffix(*domain).is_some_and(|s| s.is_empty() || s.ends_with('.'));
        match SERVED.contains(&host.as_str()) {
            true => Self::Platform,
            false if DOMAINS.iter().any(below) => Self::Heroku,
            false => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_owner_however_it_is_written() {
        for (host, owner) in [
            ("api.heroku.com", Owner::Platform),
            ("API.Heroku.com.", Owner::Platform),
            ("api.metrics.herokai.com", Owner::Platform),
            ("backboard.heroku.com", Owner::Heroku),
            ("heroku.com", Owner::Heroku),
            ("x.api.heroku.com", Owner::Heroku),
            ("api.staging.herokudev.com", Owner::Heroku),
            ("notheroku.com", Owner::Other),
            ("heroku.com.example", Owner::Other),
            ("times.herokuapp.com", Owner::Other),
            ("localhost", Owner::Other),
        ] {
            assert_eq!(Owner::of(host), owner, "{host}");
        }
        assert!(SERVED.iter().all(|host| Owner::of(host) == Owner::Platform));
    }
}
