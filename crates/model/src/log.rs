//! Log lines as Logplex knows them: who said it (`source`), which part (`ps`), when, and what.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::AppId;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    pub at: Timestamp,
    pub source: LogSource,
    /// `web.1`, `router`, `api`, ...
    pub ps: String,
    pub text: String,
}

/// A line of the platform that was said with a change. Numbers grow, and none comes twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberedLine {
    pub number: u64,
    pub app: AppId,
    pub line: LogLine,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogSource {
    App,
    Heroku,
}

/// What a log session shows. `ps` of `web` means `web` and `web.*`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFilter {
    pub source: Option<String>,
    pub ps: Option<String>,
}

impl LogSource {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Heroku => "heroku",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        [Self::App, Self::Heroku].into_iter().find(|source| source.as_str() == word)
    }
}

impl LogFilter {
    pub fn admits(&self, line: &LogLine) -> bool {
        let ps_fits = |want: &str| {
            line.ps == want || line.ps.strip_prefix(want).is_some_and(|rest| rest.starts_with('.'))
        };
        self.source.as_deref().is_none_or(|want| line.source.as_str() == want)
            && self.ps.as_deref().is_none_or(ps_fits)
    }
}

impl std::fmt::Display for LogLine {
    /// `2010-09-16T15:13:46.677020+00:00 app[web.1]: text`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = self.at.strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00");
        write!(f, "{at} {}[{}]: {}", self.source.as_str(), self.ps, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_look_like_logplex_and_filters_match_types() {
        let line = LogLine {
            at: "2010-09-16T15:13:46.67702Z".parse().unwrap(),
            source: LogSource::App,
            ps: "web.1".into(),
            text: "hi".into(),
        };
        assert_eq!(line.to_string(), "2010-09-16T15:13:46.677020+00:00 app[web.1]: hi");
        let filter = |source: Option<&str>, ps: Option<&str>| LogFilter {
            source: source.map(Into::into),
            ps: ps.map(Into::into),
        };
        assert!(filter(Some("app"), Some("web")).admits(&line));
        assert!(filter(None, Some("web.1")).admits(&line));
        assert!(!filter(None, Some("we")).admits(&line));
        assert!(!filter(Some("heroku"), None).admits(&line));
    }
}
