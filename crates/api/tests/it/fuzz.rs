//! Bodies made from the published schema and then spoiled: wrong types, members too many or too few, huge, deep, halves
//! of surrogates, keys twice. Never a 500, never a hang, and a request that is refused changes no row.
//!
//! The seed is fixed, so a failure comes again. `RENGA_FUZZ_ROUNDS` makes it longer (`bin/soak` does).

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use http::Method;
use renga_api::{coverage::pattern, endpoint_rows};
use serde_json::{Value, json};

use crate::{harness::Platform, schema::Schema, walk::domains::upload};

/// Bodies for each link that takes one.
const ROUNDS_DEFAULT: usize = 40;
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Stands in a body until it is text, as no value of serde's can hold what it stands for.
const SURROGATE: &str = "@half-a-surrogate@";
const DEEP: &str = "@deep@";
/// Deeper than a parser may follow.
const DEPTH: usize = 5_000;

/// xorshift64*: enough to be unforeseen, and the same on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).unwrap() % sides
    }
    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len())].clone()
    }
}

/// Something of the right shape: examples where the schema has them.
fn good(schema: &Schema, shape: &Value, dice: &mut Dice, depth: usize) -> Value {
    let shape = schema.resolve(shape);
    for choice in ["anyOf", "oneOf"] {
        if let Some(choices) = shape[choice].as_array() {
            return good(schema, &dice.one(choices), dice, depth);
        }
    }
    if let Some(allowed) = shape["enum"].as_array() {
        return dice.one(allowed);
    }
    let types = shape["type"].as_array().cloned().unwrap_or_default();
    let kinds: Vec<&str> = types.iter().filter_map(Value::as_str).collect();
    match kinds.as_slice() {
        kinds if kinds.contains(&"object") => object(schema, shape, dice, depth),
        kinds if kinds.contains(&"array") => {
            let item = shape.get("items").map(|items| good(schema, items, dice, depth + 1));
            item.into_iter().collect()
        }
        _ => {
            shape.get("example").cloned().unwrap_or_else(|| dice.one(&[json!("text"), json!(1), json!(true)]))
        }
    }
}

fn object(schema: &Schema, shape: &Value, dice: &mut Dice, depth: usize) -> Value {
    let required: Vec<&str> =
        shape["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut made = serde_json::Map::new();
    if depth > 4 {
        return Value::Object(made);
    }
    for (name, shape) in shape["properties"].as_object().into_iter().flatten() {
        if required.contains(&name.as_str()) || dice.roll(2) == 0 {
            made.insert(name.clone(), good(schema, shape, dice, depth + 1));
        }
    }
    Value::Object(made)
}

/// Values that somebody ought to refuse, or to bear.
fn odd(dice: &mut Dice) -> Value {
    let odds = [
        Value::Null,
        json!(true),
        json!(-1),
        json!(0.5),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e308),
        json!(""),
        json!(" "),
        json!("\0"),
        json!("../../etc/passwd"),
        json!("'; DROP TABLE app; --"),
        json!("\u{202e}\u{1f600}\u{fffd}"),
        json!("x".repeat(70_000)),
        json!(SURROGATE),
        json!(DEEP),
        json!([]),
        json!({}),
        json!([[], {}, null]),
        json!(vec![1; 2_000]),
        json!({ "id": [], "name": {} }),
    ];
    dice.one(&odds)
}

/// Somewhere in it, something is wrong now.
fn spoil(value: &mut Value, dice: &mut Dice) {
    match value {
        Value::Object(members) if !members.is_empty() && dice.roll(5) > 0 => {
            let names: Vec<String> = members.keys().cloned().collect();
            let name = dice.one(&names);
            match dice.roll(6) {
                0 => drop(members.remove(&name)),
                1 => drop(members.insert(format!("{name}s"), odd(dice))),
                2 => drop(members.insert(name, odd(dice))),
                _ => spoil(members.get_mut(&name).unwrap(), dice),
            }
        }
        Value::Array(items) if !items.is_empty() && dice.roll(5) > 0 => {
            let index = dice.roll(items.len());
            match dice.roll(4) {
                0 => items.push(odd(dice)),
                1 => *items = std::iter::repeat_n(items[index].clone(), 300).collect(),
                _ => spoil(&mut items[index], dice),
            }
        }
        other => *other = odd(dice),
    }
}

/// As text, with what only text can hold.
fn text(value: &Value, dice: &mut Dice) -> Vec<u8> {
    let deep = format!("{}{}", "[".repeat(DEPTH), "]".repeat(DEPTH));
    let half = dice.one(&["\"\\ud800\"", "\"\\udfff\\ud800\"", "\"a\\ud83d\""]);
    let mut text = value.to_string();
    text = text.replace(&format!("\"{SURROGATE}\""), half).replace(&format!("\"{DEEP}\""), &deep);
    if let Some(first) = value.as_object().and_then(|members| members.iter().next())
        && dice.roll(8) == 0
    {
        // The first key twice.
        text = format!("{{{}:{},{}", json!(first.0), odd(dice), &text[1..]);
        text = text.replace(&format!("\"{SURROGATE}\""), half).replace(&format!("\"{DEEP}\""), &deep);
    }
    let mut bytes = text.into_bytes();
    match dice.roll(12) {
        0 => bytes.truncate(bytes.len() / 2),
        1 => bytes.extend(b" trailing"),
        2 => bytes.insert(bytes.len() / 2, 0xff),
        _ => {}
    }
    bytes
}

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f ada@laptop";

/// One of everything that a path may name.
struct Field {
    platform: Platform,
    app: String,
    endpoint: String,
    build: String,
    slug: String,
    before: BTreeSet<String>,
    /// Rows at the beginning.
    planted: usize,
}

impl Field {
    fn plant() -> Self {
        let platform = Platform::start();
        let id = platform.app("walked");
        let slug = platform.deploy(id, &[("web", "serve")]).to_string();
        let app = id.to_string();
        let named = |value: Value, name: &str| value[name].as_str().unwrap().to_owned();
        let post = |path: &str, body: Value| platform.post(&format!("/apps/{app}/{path}"), body).good();
        let endpoint = named(post("sni-endpoints", upload(&["www.example.com"])), "name");
        post("domains", json!({ "hostname": "www.example.com", "sni_endpoint": null }));
        let build = named(post("builds", json!({ "source_blob": { "url": "https://x/y.tgz" } })), "id");
        let before = rows(&platform);
        Self { app, endpoint, build, slug, planted: before.len(), before, platform }
    }

    /// The path of a row, leading to what is there.
    fn path(&self, row: &str) -> String {
        let mut before = "";
        let mut segments = Vec::new();
        for segment in row.split('/') {
            segments.push(match (segment.starts_with('{'), before) {
                (false, _) => segment.to_owned(),
                (true, "apps") => self.app.clone(),
                (true, "domains") => "www.example.com".into(),
                (true, "sni-endpoints") => self.endpoint.clone(),
                (true, "builds") => self.build.clone(),
                (true, "slugs") => self.slug.clone(),
                (true, "formation" | "formations") => "web".into(),
                (true, "releases") => "3".into(),
                (true, "features") => "preboot".into(),
                (true, "dynos") => "web.1".into(),
                (true, "collaborators") => "dev@example.com".into(),
                (true, _) => "~".into(),
            });
            before = segment;
        }
        segments.join("/")
    }

    fn try_body(&mut self, method: &Method, path: &str, body: &[u8]) -> bool {
        let begin = Instant::now();
        let reply = self.platform.send(method.clone(), path, &[], Some(body));
        let shown = String::from_utf8_lossy(&body[..body.len().min(2_000)]);
        assert!(!reply.status.is_server_error(), "{method} {path} {shown}\nanswered {}", reply.text);
        assert!(begin.elapsed() < ANSWER_WITHIN, "{method} {path} {shown} took {:?}", begin.elapsed());
        let refused = reply.status.is_client_error();
        if refused && reply.status != 413 {
            assert!(!reply.refusal().2.is_empty());
        }
        let after = rows(&self.platform);
        if refused {
            let changed: Vec<_> = after.symmetric_difference(&self.before).collect();
            assert!(
                changed.is_empty(),
                "{method} {path} {shown}\nwas refused ({}) and changed {changed:#?}",
                reply.text
            );
        }
        self.before = after;
        refused
    }
}

/// The whole ledger, whatever tables it has.
fn rows(platform: &Platform) -> BTreeSet<String> {
    platform.run(platform.engine.store.read(|read| read.every_row())).unwrap()
}

#[test]
fn every_change_is_seen_and_every_oddity_comes_up() {
    let field = Field::plant();
    for table in ["account ", "app ", "build ", "domain ", "release ", "slug_layer ", "token "] {
        assert!(field.before.iter().any(|row| row.starts_with(table)), "nothing of {table}");
    }
    field.platform.post("/account/keys", json!({ "public_key": KEY })).good();
    let after = rows(&field.platform);
    assert!(after.difference(&field.before).any(|row| row.starts_with("ssh_key ")));

    let mut dice = Dice(7);
    let texts: Vec<String> = (0..2_000)
        .map(|_| {
            let mut body = json!({ "name": "x", "region": "us" });
            spoil(&mut body, &mut dice);
            String::from_utf8_lossy(&text(&body, &mut dice)).into_owned()
        })
        .collect();
    let any = |what: &str, shows: &dyn Fn(&str) -> bool| {
        assert!(texts.iter().any(|text| shows(text)), "no body with {what}");
    };
    any("half a surrogate", &|text| text.contains("\\ud800\""));
    any("great depth", &|text| text.contains(&"[".repeat(DEPTH)));
    any("a key twice", &|text| text.matches("\"name\":").count() == 2);
    any("something huge", &|text| text.len() > 60_000 && text.contains("xxxx"));
    any("bytes that are no text", &|text| text.contains('\u{fffd}') && !text.contains("\u{202e}"));
    any("a cut", &|text| serde_json::from_str::<Value>(text).is_err());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how long is for the caller to say")]
fn spoiled_bodies_are_refused_or_borne() {
    let schema = Schema::published();
    let rounds = std::env::var("RENGA_FUZZ_ROUNDS").ok().and_then(|text| text.parse().ok());
    let writes = [Method::POST, Method::PUT, Method::PATCH];
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut tried, mut refused) = (0, 0);
    let mut field = Field::plant();
    for row in endpoint_rows().iter().filter(|row| writes.contains(&row.method) && row.platform) {
        let links = schema.links();
        let taken = links
            .iter()
            .filter(|link| link.method == row.method.as_str() && link.pattern == pattern(row.path));
        let shapes: Vec<Value> = taken.filter_map(|link| link.schema.cloned()).collect();
        let shapes = if shapes.is_empty() { vec![json!({ "type": ["object"] })] } else { shapes };
        for _ in 0..rounds.unwrap_or(ROUNDS_DEFAULT) {
            let mut body = good(&schema, &dice.one(&shapes), &mut dice, 0);
            for _ in 0..dice.roll(3) {
                spoil(&mut body, &mut dice);
            }
            let path = field.path(row.path);
            tried += 1;
            refused += usize::from(field.try_body(&row.method, &path, &text(&body, &mut dice)));
            // What a valid body took away (the way in, room for more) would make the rest easy to refuse.
            if field.platform.get("/account").status != 200 || field.before.len() > field.planted + 200 {
                field = Field::plant();
            }
        }
    }
    println!("figure: {tried} bodies, {refused} of them refused");
    assert!(tried > 500 && refused > tried / 3 && refused < tried, "{refused} of {tried} were refused");
}
