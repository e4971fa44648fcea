//! How much of the published Platform API is there: each of its links in one of three classes, counted from the table of
//! endpoints and the published list, never by hand.

use std::{collections::BTreeMap, fmt};

use crate::routes::endpoint_rows;

const PUBLISHED: &str = include_str!("../contract/endpoints.csv");

/// One link of the published API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub group: &'static str,
    pub resource: &'static str,
    pub title: &'static str,
    pub method: &'static str,
    /// `{}` for a segment that names something.
    pub pattern: String,
    pub class: Class,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Offered,
    /// What this platform truthfully has none of: a list without entries, or the entry that cannot be there.
    Empty,
    NotOffered,
}

/// The pattern of a path: every segment that names something as `{}`.
pub fn pattern(path: &str) -> String {
    let segment = |s: &str| if s.starts_with('{') || s == "~" { "{}".to_owned() } else { s.to_owned() };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// Every published link, in the order of the list.
pub fn links() -> Vec<Link> {
    let rows: BTreeMap<(String, String), bool> = endpoint_rows()
        .into_iter()
        .map(|row| ((row.method.to_string(), pattern(row.path)), row.empty))
        .collect();
    let class = |method: &str, pattern: &str| match rows.get(&(method.to_owned(), pattern.to_owned())) {
        Some(true) => Class::Empty,
        Some(false) => Class::Offered,
        None => Class::NotOffered,
    };
    let lines = PUBLISHED.lines().skip(1);
    let link = |line: &'static str| {
        let mut fields = line.splitn(5, ',');
        let (resource, title) = (fields.next()?, fields.next()?);
        let (method, pattern) = (fields.next()?, pattern(fields.next()?));
        // Descriptions may hold commas; the group stands behind the last.
        let (_, group) = line.rsplit_once(',')?;
        let class = class(method, &pattern);
        Some(Link { group, resource, title, method, pattern, class })
    };
    lines.filter_map(link).collect()
}

/// Numbers of links by class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub offered: usize,
    pub empty: usize,
    pub not_offered: usize,
}

impl Counts {
    pub fn of<'a>(links: impl IntoIterator<Item = &'a Link>) -> Self {
        let mut counts = Self::default();
        for link in links {
            match link.class {
                Class::Offered => counts.offered += 1,
                Class::Empty => counts.empty += 1,
                Class::NotOffered => counts.not_offered += 1,
            }
        }
        counts
    }
    pub fn all(&self) -> usize {
        self.offered + self.empty + self.not_offered
    }
}

/// What may at most be left empty or out: both may only shrink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ratchet {
    pub empty_max: usize,
    pub not_offered_max: usize,
}

impl Ratchet {
    /// Lines of `NAME COUNT`; none if one is missing.
    pub fn parse(text: &str) -> Option<Self> {
        let count = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
            line.trim().parse().ok()
        };
        Some(Self { empty_max: count("offered-empty")?, not_offered_max: count("not-offered")? })
    }
    pub fn holds(&self, counts: Counts) -> bool {
        counts.empty <= self.empty_max && counts.not_offered <= self.not_offered_max
    }
    /// As low as these counts allow; never higher than before.
    pub fn lowered(self, counts: Counts) -> Self {
        Self {
            empty_max: self.empty_max.min(counts.empty),
            not_offered_max: self.not_offered_max.min(counts.not_offered),
        }
    }
}

impl fmt::Display for Ratchet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "offered-empty {}\nnot-offered {}\n", self.empty_max, self.not_offered_max)
    }
}

/// The whole count as lines for a terminal, by group and resource; the last line is `links N/ALL`.
pub fn report() -> String {
    let links = links();
    let mut groups: BTreeMap<&str, BTreeMap<&str, Vec<&Link>>> = BTreeMap::new();
    for link in &links {
        groups.entry(link.group).or_default().entry(link.resource).or_default().push(link);
    }
    let line = |name: &str, counts: Counts| {
        let note =
            |count: usize, what: &str| if count > 0 { format!("  {count} {what}") } else { String::new() };
        let (empty, out) = (note(counts.empty, "empty"), note(counts.not_offered, "not offered"));
        format!("{:<32} {:>3}/{:<3}{empty}{out}\n", name, counts.offered, counts.all())
    };
    let mut text = String::new();
    for (group, resources) in &groups {
        text += &line(group, Counts::of(resources.values().flatten().copied()));
        for (resource, links) in resources {
            text += &line(&format!("  {resource}"), Counts::of(links.iter().copied()));
        }
    }
    let counts = Counts::of(&links);
    text += &format!("offered-empty {}, not offered {}\n", counts.empty, counts.not_offered);
    text + &format!("links {}/{}\n", counts.offered, counts.all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_published_link_is_counted_once() {
        let links = links();
        assert_eq!(links.len(), 305);
        assert_eq!(Counts::of(&links).all(), 305);
        assert!(links.iter().all(|l| ["core", "team", "partner", "other"].contains(&l.group)));
        assert!(report().ends_with("/305\n"));
    }

    #[test]
    fn what_is_empty_or_left_out_only_shrinks() {
        let ratchet = Ratchet::parse(include_str!("../contract/ratchet.txt")).unwrap();
        let counts = Counts::of(&links());
        assert!(ratchet.holds(counts), "{counts:?} exceeds {ratchet:?}");
        let fewer =
            Counts { empty: ratchet.empty_max - 1, not_offered: ratchet.not_offered_max + 1, ..counts };
        assert!(!ratchet.holds(fewer));
        assert_eq!(ratchet.lowered(fewer).not_offered_max, ratchet.not_offered_max);
        assert_eq!(ratchet.lowered(fewer).empty_max, fewer.empty);
    }
}
