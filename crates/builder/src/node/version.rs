//! Which version a range means.

use nodejs_semver::{Range, Version};

use crate::BuildError;

/// A range as `package.json` has it. `latest` and `*` are any version; `lts` forms mean the current LTS.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) text: Option<String>,
    range: Range,
}

/// What a range became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resolved {
    pub(super) version: Version,
    /// The range would have allowed a newer major, which is not LTS yet.
    pub(super) held_to_lts: bool,
}

impl Wanted {
    pub(super) fn parse(tool: &'static str, text: Option<&str>, now: u64) -> Result<Self, BuildError> {
        let lts = || format!("{}.x", lts_major(now));
        let meant = match text {
            None | Some("" | "lts" | "lts/*") => lts(),
            Some("latest" | "x") => "*".to_owned(),
            Some(text) => text.to_owned(),
        };
        let range = Range::parse(&meant)
            .map_err(|_| BuildError::NodeRangeInvalid { tool, range: text.unwrap_or_default().to_owned() })?;
        Ok(Self { text: text.map(str::to_owned), range })
    }

    /// Any version: for tools whose newest is good.
    pub(super) fn of_range(range: &str) -> Self {
        Self { text: None, range: Range::parse(range).unwrap_or_else(|_| Range::any()) }
    }

    pub(super) fn allows(&self, version: &Version) -> bool {
        self.range.satisfies(version)
    }

    /// For the log.
    pub(super) fn shown(&self) -> &str {
        self.text.as_deref().unwrap_or("")
    }

    /// The newest of `versions` that fits.
    pub(super) fn newest(&self, versions: &[Version]) -> Option<Version> {
        versions.iter().filter(|version| self.allows(version)).max().cloned()
    }

    /// The newest Node.js that fits. A range without an upper end is held to the LTS: it was written when the newest
    /// major did not exist.
    pub(super) fn newest_node(&self, versions: &[Version], now: u64) -> Option<Resolved> {
        let newest = self.newest(versions)?;
        let endless = Version::parse("999.0.0").is_ok_and(|far| self.allows(&far));
        let lts =
            versions.iter().filter(|version| version.major == lts_major(now) && self.allows(version)).max();
        match lts {
            Some(lts) if endless && newest.major > lts.major => {
                Some(Resolved { version: lts.clone(), held_to_lts: true })
            }
            _ => Some(Resolved { version: newest, held_to_lts: false }),
        }
    }
}

/// The newest major in long-term support: until 26 the even ones, each from the November after its release (24 in
/// 2025, 26 in 2026); from 27 on, one a year, numbered like its year.
pub(super) fn lts_major(now: u64) -> u64 {
    const DAY: u64 = 24 * 3600;
    // Days are enough; a year has 365.2425 of them. Ten months of each year belong to the year before.
    let days = now / DAY;
    let year_and_day = days * 10_000 / 3_652_425;
    let year = 1970 + year_and_day;
    let day_of_year = days - year_and_day * 3_652_425 / 10_000;
    let season = if day_of_year >= 304 { year } else { year - 1 };
    if season >= 2027 { season - 2000 } else { (season - 2013) * 2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions() -> Vec<Version> {
        ["18.20.8", "20.19.1", "22.20.0", "22.9.0", "24.3.0", "25.1.0"]
            .map(|v| Version::parse(v).unwrap())
            .into()
    }

    fn resolve(range: Option<&str>) -> String {
        // 2025-12-01: 24 is LTS, 25 is not.
        let now = 1_764_547_200;
        let wanted = Wanted::parse("node", range, now).unwrap();
        wanted
            .newest_node(&versions(), now)
            .map_or("none".into(), |r| format!("{}{}", r.version, if r.held_to_lts { " held" } else { "" }))
    }

    #[test]
    fn ranges_are_resolved_as_npm_does() {
        assert_eq!(resolve(None), "24.3.0");
        assert_eq!(resolve(Some("22.x")), "22.20.0");
        assert_eq!(resolve(Some("^20 || ^18")), "20.19.1");
        assert_eq!(resolve(Some(">=18")), "24.3.0 held");
        assert_eq!(resolve(Some("*")), "24.3.0 held");
        assert_eq!(resolve(Some("25.1.0")), "25.1.0");
        assert_eq!(resolve(Some(">=20 <23")), "22.20.0");
        assert_eq!(resolve(Some("17.x")), "none");
        assert!(Wanted::parse("node", Some("not a version"), 0).is_err());
    }

    #[test]
    fn the_lts_follows_the_calendar() {
        for (now, major) in [
            (1_730_505_600, 22), // 2024-11-02
            (1_755_000_000, 22), // 2025-08
            (1_764_547_200, 24), // 2025-12-01
            (1_795_400_000, 26), // 2026-11
            (1_827_000_000, 27), // 2027-11
            (1_858_000_000, 28), // 2028-11
        ] {
            assert_eq!(lts_major(now), major, "{now}");
        }
    }
}
