//! `.env` files: `KEY=value` lines, or one JSON object.

use std::collections::BTreeMap;

/// `Err` names the first line (from 1) that is neither an assignment nor a comment.
pub(super) fn parse(text: &str) -> Result<BTreeMap<String, String>, usize> {
    let text = text.trim_start_matches('\u{feff}');
    if text.trim_start().starts_with('{')
        && let Ok(serde_json::Value::Object(object)) = serde_json::from_str(text)
    {
        return Ok(flat("", &object).into_iter().collect());
    }
    let mut vars = BTreeMap::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line);
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = line.split_once('=').ok_or(number + 1)?;
        let mut value = value.trim_start().to_owned();
        // A quoted value goes on until its quote is closed.
        while let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\''))
            && close_of(&value, quote).is_none()
        {
            let (_, next) = lines.next().ok_or(number + 1)?;
            value.push('\n');
            value.push_str(next);
        }
        vars.insert(key.trim().to_owned(), unquoted(&value));
    }
    Ok(vars)
}

/// The place of the quote that closes a value which begins with one.
fn close_of(value: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, character) in value.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            c if c == quote => return Some(at),
            _ => {}
        }
    }
    None
}

fn unquoted(value: &str) -> String {
    match value.chars().next() {
        Some('\'') => value[1..close_of(value, '\'').unwrap_or(value.len())].to_owned(),
        Some('"') => {
            let inside = &value[1..close_of(value, '"').unwrap_or(value.len())];
            inside.replace("\\n", "\n").replace("\\\"", "\"").replace("\\\\", "\\")
        }
        // A comment is parted by a blank: a password may hold the sign.
        _ => value.split(" #").next().unwrap_or(value).trim_end().to_owned(),
    }
}

/// `{"db": {"url": "x"}}` is `DB_URL=x`, as the official tool reads it.
fn flat(prefix: &str, object: &serde_json::Map<String, serde_json::Value>) -> Vec<(String, String)> {
    let one = |(key, value): (&String, &serde_json::Value)| {
        let key = format!("{prefix}{}", key.to_uppercase());
        match value {
            serde_json::Value::Object(inner) => flat(&format!("{key}_"), inner),
            serde_json::Value::String(text) => vec![(key, text.clone())],
            serde_json::Value::Null => Vec::new(),
            other => vec![(key, other.to_string())],
        }
    };
    object.iter().flat_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_they_are_written_by_hand() {
        let text = "# comment\n\nA=1\nexport B = two words # why\nC='$x # y'\nD=\"a\\nb\"\nE=\nF=p#w\nG=\"one\ntwo\"\nA=2\n";
        let vars = parse(text).unwrap();
        let shown: Vec<_> = vars.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(
            shown,
            [
                ("A", "2"),
                ("B", "two words"),
                ("C", "$x # y"),
                ("D", "a\nb"),
                ("E", ""),
                ("F", "p#w"),
                ("G", "one\ntwo")
            ]
        );
    }

    #[test]
    fn json_is_made_flat() {
        let vars = parse("{\"port\": 1, \"db\": {\"url\": \"x\", \"none\": null}}").unwrap();
        assert_eq!(vars, [("DB_URL", "x"), ("PORT", "1")].map(|(k, v)| (k.into(), v.into())).into());
    }

    #[test]
    fn a_line_that_means_nothing_is_named() {
        assert_eq!(parse("A=1\nnonsense\n"), Err(2));
        assert_eq!(parse("A=\"open\n"), Err(1));
    }
}
