//! The published schema as a judge: of every answer it says what is missing, of a wrong type, or not listed.

use regex::Regex;
use renga_api::coverage::pattern;
use serde_json::Value;

/// Heroku's own domains stand in these; ours are the operator's.
const PATTERNS_OVERRIDDEN: [&str; 2] = ["web_url", "git_url"];

pub(crate) struct Schema(Value);

/// One link of the schema: what it takes, and what it answers.
pub(crate) struct PublishedLink<'a> {
    pub(crate) resource: &'a str,
    pub(crate) method: &'a str,
    pub(crate) pattern: String,
    /// Of the body.
    pub(crate) schema: Option<&'a Value>,
    target: Option<&'a Value>,
}

impl Schema {
    pub(crate) fn published() -> Self {
        Self(serde_json::from_str(include_str!("../../contract/schema.json")).unwrap())
    }

    pub(crate) fn links(&self) -> Vec<PublishedLink<'_>> {
        let resources = self.0["definitions"].as_object().unwrap();
        let mut all = Vec::new();
        for (resource, definition) in resources {
            for link in definition["links"].as_array().into_iter().flatten() {
                all.push(PublishedLink {
                    resource,
                    method: link["method"].as_str().unwrap(),
                    pattern: pattern(&without_references(link["href"].as_str().unwrap())),
                    schema: link.get("schema"),
                    target: link.get("targetSchema"),
                });
            }
        }
        all
    }

    /// The links that this request may mean; names in the path go before what merely names something.
    pub(crate) fn links_of(&self, method: &str, path: &str) -> Vec<PublishedLink<'_>> {
        let path = path.split('?').next().unwrap_or_default();
        let mut fitting: Vec<_> =
            self.links().into_iter().filter(|l| l.method == method && fits(&l.pattern, path)).collect();
        let wild = |link: &PublishedLink<'_>| link.pattern.matches("{}").count();
        let least = fitting.iter().map(wild).min().unwrap_or_default();
        fitting.retain(|link| wild(link) == least);
        fitting
    }

    /// What is wrong with an answer of this link.
    pub(crate) fn judge(&self, link: &PublishedLink<'_>, answer: &Value) -> Vec<String> {
        let mut problems = Vec::new();
        match link.target {
            Some(target) => self.check(target, answer, link.resource, &mut problems),
            // Some answers are not described: they are the resource, a list of it, or nothing.
            None if answer.is_array() || answer == &serde_json::json!({}) => {}
            None => return self.judge_resource(link.resource, answer),
        }
        problems
    }

    /// What is wrong with an answer that is this resource, or one of it.
    pub(crate) fn judge_resource(&self, resource: &str, answer: &Value) -> Vec<String> {
        assert!(self.0["definitions"][resource].is_object(), "no resource {resource} is published");
        let whole = serde_json::json!({ "$ref": format!("#/definitions/{resource}") });
        let mut problems = Vec::new();
        self.check(&whole, answer, resource, &mut problems);
        problems
    }

    pub(crate) fn resolve<'a>(&'a self, mut shape: &'a Value) -> &'a Value {
        while let Some(reference) = shape["$ref"].as_str() {
            let pointer = reference.strip_prefix('#').unwrap();
            shape = self.0.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"));
        }
        shape
    }

    fn check(&self, shape: &Value, value: &Value, path: &str, problems: &mut Vec<String>) {
        let shape = self.resolve(shape);
        if let Some(choices) = shape["anyOf"].as_array().or_else(|| shape["oneOf"].as_array()) {
            let judged = choices.iter().map(|choice| {
                let mut found = Vec::new();
                self.check(choice, value, path, &mut found);
                found
            });
            // What fits best says what is wrong.
            problems.extend(judged.min_by_key(Vec::len).unwrap_or_default());
            return;
        }
        check_type(shape, value, path, problems);
        if value.is_null() {
            return;
        }
        check_text(shape, value, path, problems);
        if let (Some(shape), Some(items)) = (shape.get("items"), value.as_array()) {
            items
                .iter()
                .enumerate()
                .for_each(|(n, item)| self.check(shape, item, &format!("{path}[{n}]"), problems));
        }
        if let Some(object) = value.as_object() {
            self.check_members(shape, object, path, problems);
        }
    }

    fn check_members(
        &self,
        shape: &Value,
        object: &serde_json::Map<String, Value>,
        path: &str,
        problems: &mut Vec<String>,
    ) {
        let empty = serde_json::Map::new();
        let listed = shape["properties"].as_object().unwrap_or(&empty);
        for (name, shape) in listed {
            match object.get(name) {
                Some(value) => self.check(shape, value, &format!("{path}.{name}"), problems),
                None => problems.push(format!("{path}.{name} is missing")),
            }
        }
        let patterns = shape["patternProperties"].as_object().unwrap_or(&empty);
        for (name, value) in object.iter().filter(|(name, _)| !listed.contains_key(*name)) {
            let fitting = patterns.iter().find(|(pattern, _)| matches(pattern, name));
            match fitting {
                Some((_, shape)) => self.check(shape, value, &format!("{path}.{name}"), problems),
                // An object that lists nothing may hold anything.
                None if listed.is_empty() && patterns.is_empty() => {}
                None => problems.push(format!("{path}.{name} is not listed")),
            }
        }
    }
}

fn check_type(shape: &Value, value: &Value, path: &str, problems: &mut Vec<String>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_u64() || number.is_i64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let types: Vec<&str> = match &shape["type"] {
        Value::String(one) => vec![one],
        several => several.as_array().into_iter().flatten().filter_map(Value::as_str).collect(),
    };
    if !(types.is_empty() || types.contains(&kind) || kind == "integer" && types.contains(&"number")) {
        problems.push(format!("{path} is {kind}, not {types:?}"));
    }
    if shape["enum"].as_array().is_some_and(|allowed| !allowed.contains(value)) && !value.is_null() {
        problems.push(format!("{path} is {value}, which is not listed"));
    }
}

fn check_text(shape: &Value, value: &Value, path: &str, problems: &mut Vec<String>) {
    let Some(text) = value.as_str() else { return };
    let fits = match shape["format"].as_str() {
        Some("uuid") => text.parse::<uuid::Uuid>().is_ok(),
        Some("date-time") => text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok(),
        Some("date") => text.parse::<jiff::civil::Date>().is_ok(),
        Some("email") => text.contains('@'),
        Some("ipv4") => text.parse::<std::net::Ipv4Addr>().is_ok(),
        // `uri` stands beside host names in the published schema.
        _ => true,
    };
    if !fits {
        problems.push(format!("{path} is no {}: {value}", shape["format"]));
    }
    let overridden = PATTERNS_OVERRIDDEN.iter().any(|name| path.ends_with(name));
    if let Some(pattern) = shape["pattern"].as_str().filter(|_| !overridden)
        && !matches(pattern, text)
    {
        problems.push(format!("{path} is {value}, not of the pattern {pattern}"));
    }
}

/// Two hyphens in a row are forbidden by a look-ahead, which the engine of expressions does not have.
const NO_TWO_HYPHENS: &str = "-(?!-)";

fn matches(pattern: &str, text: &str) -> bool {
    let expression = pattern.replace(NO_TWO_HYPHENS, "-");
    let forbidden = pattern.contains(NO_TWO_HYPHENS) && text.contains("--");
    Regex::new(&expression).unwrap().is_match(text) && !forbidden
}

/// `/apps/{(%23%2Fdefinitions...)}` as `/apps/{}`.
fn without_references(href: &str) -> String {
    let mut parts = href.split('{');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain += "{}";
        plain += part.split_once('}').map_or("", |(_, rest)| rest);
    }
    plain
}

fn fits(pattern: &str, path: &str) -> bool {
    let (wanted, given): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
    wanted.len() == given.len() && wanted.iter().zip(&given).all(|(w, g)| *w == "{}" || w == g)
}

#[test]
fn the_judge_sees_what_is_missing_wrong_and_unlisted() {
    let schema = Schema::published();
    let links = schema.links_of("GET", "/stacks/x");
    let good = serde_json::json!({
        "id": "01234567-89ab-cdef-0123-456789abcdef", "name": "heroku-24", "state": "public", "default": true,
        "created_at": "2012-01-01T12:00:00Z", "updated_at": "2012-01-01T12:00:00Z",
    });
    assert_eq!(schema.judge(&links[0], &good), Vec::<String>::new());
    let mut bad = good;
    bad.as_object_mut().unwrap().remove("state");
    bad["default"] = "yes".into();
    bad["id"] = "no-uuid".into();
    bad["more"] = 1.into();
    assert_eq!(schema.judge(&links[0], &bad).len(), 4);
    assert_eq!(schema.links().len(), 305);
}
