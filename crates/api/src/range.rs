//! Ranges of lists: `Range: id ..; max=200; order=desc`, `206` with `Next-Range` while there is more.
//!
//! Clients differ in how they write it (`version ..; order=desc,max=1`, a trailing `;`, an empty header), so it is read
//! tolerantly: any order, `;` or `,` between the parts. An unknown key or a figure that is none is refused with 416.

use http::{HeaderMap, header};
use serde_json::Value;

use crate::{answer::List, error::Problem};

/// Items of a page if the client does not say, and at most (Heroku: 200 and 1,000).
const PAGE_ITEMS_DEFAULT: usize = 200;
const PAGE_ITEMS_MAX: usize = 1_000;
/// Keys that older clients (heroku3 of PyPI) ask by, and what they are called now.
const OLDER_KEYS: [(&str, &str); 1] = [("domain", "hostname")];

#[derive(Debug, Default, PartialEq, Eq)]
struct Range {
    key: Option<String>,
    first: Option<Bound>,
    last: Option<Bound>,
    max: Option<usize>,
    descending: bool,
}

/// `]` in front of a value leaves the value itself out.
#[derive(Debug, PartialEq, Eq)]
struct Bound {
    value: String,
    exclusive: bool,
}

/// What the header asks for, for a list that is too long to be read whole.
pub(crate) struct Wanted(Range);

impl Wanted {
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let header = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
        parse(header.unwrap_or_default()).map(Self)
    }
    /// Whether `key` (the list's first) is what it is sorted by, and no end is named.
    pub(crate) fn sorted_by(&self, key: &str) -> bool {
        self.0.key.as_deref().is_none_or(|asked| asked == key) && self.0.last.is_none()
    }
    pub(crate) fn max(&self) -> usize {
        self.0.max.unwrap_or(PAGE_ITEMS_DEFAULT).min(PAGE_ITEMS_MAX)
    }
    pub(crate) fn descending(&self) -> bool {
        self.0.descending
    }
    /// The number behind which the list goes on; an including bound begins one before.
    pub(crate) fn after(&self) -> Option<u64> {
        let first = self.0.first.as_ref()?;
        let number: u64 = first.value.parse().ok()?;
        match (first.exclusive, self.0.descending) {
            (true, _) => Some(number),
            (false, true) => number.checked_add(1),
            (false, false) => number.checked_sub(1),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) items: Vec<Value>,
    /// The `Next-Range` to send; none on the last page.
    pub(crate) next: Option<String>,
}

pub(crate) fn cut(list: List, header: Option<&str>) -> Result<Page, Problem> {
    let range = parse(header.unwrap_or_default())?;
    let max = range.max.unwrap_or(PAGE_ITEMS_DEFAULT).min(PAGE_ITEMS_MAX);
    let key = match &range.key {
        Some(key) => known(&list, key).ok_or_else(|| {
            Problem::Range(format!("the list is sorted by {}, not by {key}", list.keys.join(", ")))
        })?,
        None => first(&list),
    };
    let mut items = list.items;
    if range.key.is_some() || range.descending {
        items.sort_by_cached_key(|item| sort_key(&item[key]));
    }
    if range.descending {
        items.reverse();
    }
    items.retain(|item| admits(&range, &sort_key(&item[key])));
    let more = items.len() > max;
    items.truncate(max);
    let last = items.last().filter(|_| more).map(|item| plain(&item[key]));
    let order = if range.descending { "; order=desc" } else { "" };
    Ok(Page { next: last.map(|last| format!("{key} ]{last}..; max={max}{order}")), items })
}

/// heroku-client (npm) asks whatever it asks by `id`: what has none stays in the order that it has.
fn known(list: &List, key: &str) -> Option<&'static str> {
    let key = OLDER_KEYS.iter().find(|(older, _)| *older == key).map_or(key, |(_, now)| now);
    let found = list.keys.iter().find(|known| **known == key).copied();
    found.or_else(|| (key == "id").then(|| first(list)))
}

fn first(list: &List) -> &'static str {
    list.keys.first().copied().unwrap_or("id")
}

/// Numbers sort as numbers, everything else as text.
fn sort_key(value: &Value) -> (u64, String) {
    value.as_u64().map_or_else(|| (0, plain(value)), |number| (number, String::new()))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn admits(range: &Range, key: &(u64, String)) -> bool {
    let bound_key = |bound: &Bound| match bound.value.parse::<u64>() {
        Ok(number) if key.1.is_empty() => (number, String::new()),
        _ => (0, bound.value.clone()),
    };
    let after =
        |bound: &Bound| if bound.exclusive { *key > bound_key(bound) } else { *key >= bound_key(bound) };
    let before =
        |bound: &Bound| if bound.exclusive { *key < bound_key(bound) } else { *key <= bound_key(bound) };
    let (low, high) = (range.first.as_ref(), range.last.as_ref());
    match range.descending {
        false => low.is_none_or(after) && high.is_none_or(before),
        true => low.is_none_or(before) && high.is_none_or(after),
    }
}

fn parse(header: &str) -> Result<Range, Problem> {
    let mut range = Range::default();
    for part in header.split([';', ',']).map(str::trim).filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some(("max", number)) => {
                let number = number.trim().parse().ok().filter(|n| *n > 0);
                range.max =
                    Some(number.ok_or_else(|| Problem::Range("max must be a number above 0".into()))?);
            }
            Some(("order", "desc")) => range.descending = true,
            Some(("order", "asc")) => range.descending = false,
            Some((name, _)) if name == "order" || !part.contains("..") => {
                return Err(Problem::Range(format!("{part} is not understood")));
            }
            _ => span(part, &mut range)?,
        }
    }
    Ok(range)
}

/// `id first..last`, `id ..`, `id`, or without the key.
fn span(part: &str, range: &mut Range) -> Result<(), Problem> {
    let Some((before, last)) = part.split_once("..") else {
        range.key = Some(part.to_owned());
        return Ok(());
    };
    let bound = |text: &str| {
        let text = text.trim();
        let (value, exclusive) = text.strip_prefix(']').map_or((text, false), |rest| (rest, true));
        (!value.is_empty()).then(|| Bound { value: value.to_owned(), exclusive })
    };
    let (key, first) = match before.trim().split_once(char::is_whitespace) {
        Some((key, first)) => (Some(key), first),
        None if before.trim_start().starts_with(']') => (None, before),
        None => (Some(before.trim()), ""),
    };
    if let Some(key) = key.filter(|key| !key.is_empty()) {
        if !key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(Problem::Range(format!("{key} is not a property")));
        }
        range.key = Some(key.to_owned());
    }
    (range.first, range.last) = (bound(first), bound(last));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn versions(count: u64) -> List {
        List {
            keys: &["version", "id"],
            items: (1..=count).map(|v| json!({"version": v, "id": format!("{v:03}")})).collect(),
        }
    }
    fn shown(list: List, header: &str) -> (Vec<u64>, Option<String>) {
        let page = cut(list, Some(header)).unwrap();
        (page.items.iter().map(|item| item["version"].as_u64().unwrap()).collect(), page.next)
    }

    #[test]
    fn every_spelling_that_clients_send_is_understood() {
        for header in
            ["version ..; max=2, order=desc", "version ..; order=desc,max=2", "version ..;order=desc;max=2;"]
        {
            let (items, next) = shown(versions(12), header);
            assert_eq!(items, [12, 11], "{header}");
            assert_eq!(next.as_deref(), Some("version ]11..; max=2; order=desc"));
        }
        assert_eq!(shown(versions(3), "").0, [1, 2, 3]);
        assert_eq!(shown(versions(3), "id ..; max=1000;"), (vec![1, 2, 3], None));
        // There is no id, or the key has another name today.
        let only = |keys: &'static [&'static str]| List { keys, ..versions(3) };
        assert_eq!(shown(only(&["version"]), "id ..; max=1000").0, [1, 2, 3]);
        assert!(cut(only(&["hostname"]), Some("domain ..;")).is_ok());
        assert!(cut(only(&["hostname"]), Some("version ..;")).is_err());
    }

    #[test]
    fn pages_follow_each_other_and_the_last_has_no_next() {
        let (mut seen, mut next) = (Vec::new(), Some("version ..; max=5; order=desc".to_owned()));
        while let Some(header) = next {
            let (items, following) = shown(versions(12), &header);
            seen.extend(items);
            next = following;
        }
        assert_eq!(seen, (1..=12).rev().collect::<Vec<_>>());
    }

    #[test]
    fn nonsense_is_refused() {
        for header in
            ["version ..; max=x", "colour ..", "version ..; order=sideways", "version ..; max=0", "a-b .."]
        {
            assert!(matches!(cut(versions(3), Some(header)), Err(Problem::Range(_))), "{header}");
        }
    }

    #[test]
    fn bounds_include_or_exclude() {
        assert_eq!(shown(versions(9), "version 3..5").0, [3, 4, 5]);
        assert_eq!(shown(versions(9), "version ]3..5").0, [4, 5]);
    }
}
