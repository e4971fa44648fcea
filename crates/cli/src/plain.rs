//! Commands that are one request and one answer shown: a table says all of it, and this runs the table.
//!
//! ```text
//! words of the command line ─> path and body of one request ─> a table, a list of facts, or "... done"
//! ```
//!
//! What asks more than one question, or decides anything, is a command with code of its own, in `commands`.

mod own_rows;
mod row;
mod rows;

use clap::{ArgMatches, Command};
use serde_json::{Map, Value};

use crate::{
    app::AppArgs,
    client::segment,
    context::{Context, Platform},
    errors::Failure,
    output::{Paint, pairs, table},
    platform::PlaceArgs,
};
use row::{Kind, On, Row, Shown, Source};

/// Bytes of a file that goes into a request: certificates and keys are some kilobytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// All of them, to be parsed and described with the others.
pub(crate) fn commands() -> impl Iterator<Item = Command> {
    all().map(Row::command)
}

fn all() -> impl Iterator<Item = &'static Row> {
    rows::ROWS.iter().chain(&own_rows::ROWS)
}

/// None: it is none of ours.
pub(crate) fn run(name: &str, matches: &ArgMatches, context: &Context<'_>) -> Option<Result<(), Failure>> {
    let row = all().find(|row| row.name == name)?;
    Some(Call { row, matches, context }.run())
}

struct Call<'a> {
    row: &'a Row,
    matches: &'a ArgMatches,
    context: &'a Context<'a>,
}

impl Call<'_> {
    fn run(&self) -> Result<(), Failure> {
        let place = PlaceArgs { data_dir: self.matches.get_one("data-dir").cloned() };
        let (platform, app) = self.place(place)?;
        let values = self.values(&platform, app.as_deref())?;
        self.confirm(app.as_deref())?;
        let path = self.fill(self.path(), &values, segment);
        let body = self.body(&values)?;
        let progress = match &self.row.shown {
            Shown::Done(text) => Some(self.context.out.doing(&self.fill(text, &values, str::to_owned))),
            _ => None,
        };
        let answer = match (&self.row.shown, body) {
            (Shown::Rows { .. }, _) => Value::Array(platform.client.list(&path)?),
            (_, body) => platform.client.call(self.row.method.into(), &path, body.as_ref())?,
        };
        if let Some(progress) = progress {
            progress.done();
        }
        // A link to hand over, say, which is told only once.
        for warning in platform.client.take_warnings() {
            self.context.out.note(&format!(" ›   Warning: {warning}\n"));
        }
        self.show(&answer)
    }

    fn place(&self, place: PlaceArgs) -> Result<(Platform, Option<String>), Failure> {
        match self.row.on {
            On::Account => Ok((self.context.platform(&place)?, None)),
            On::App => {
                let flag = |name| self.matches.get_one::<String>(name).cloned();
                let args = AppArgs { app: flag("app"), remote: flag("remote"), place };
                let on = self.context.on_app(&args)?;
                Ok((Platform { place: on.place, client: on.client }, Some(on.app)))
            }
        }
    }

    /// What the words in braces stand for.
    fn values(&self, platform: &Platform, app: Option<&str>) -> Result<Vec<(&'static str, String)>, Failure> {
        let mut values: Vec<(&str, String)> = app.map(|app| ("app", app.to_owned())).into_iter().collect();
        for word in self.row.words.iter().filter(|word| !matches!(word.kind, Kind::Switch(_))) {
            if let Some(value) = self.matches.get_one::<String>(word.id) {
                values.push((word.id, value.clone()));
            } else if let Some(list) = word.only_of {
                values.push((word.id, self.only(platform, &self.fill(list, &values, segment), word.id)?));
            }
        }
        Ok(values)
    }

    /// Where there is but one, nobody has to name it.
    fn only(&self, platform: &Platform, list: &str, id: &str) -> Result<String, Failure> {
        let found: Vec<Value> = platform.client.list(list)?;
        let names: Vec<&str> = found.iter().filter_map(|one| one["name"].as_str()).collect();
        match names[..] {
            [one] => Ok(one.to_owned()),
            [] => Err(Failure::Usage(format!("There is none to name by --{id}."))),
            _ => Err(Failure::Usage(format!("Say which one by --{id}: {}.", names.join(", ")))),
        }
    }

    fn confirm(&self, app: Option<&str>) -> Result<(), Failure> {
        let Some(app) = app.filter(|_| self.row.confirmed) else { return Ok(()) };
        let typed = match self.matches.get_one::<String>("confirm") {
            Some(typed) => typed.clone(),
            None if crate::terminal::is_interactive() => {
                let question = format!(
                    "WARNING: {}: this can't be undone.\nTo proceed, type {app} or re-run this command with --confirm {app}\n\n> ",
                    self.row.about
                );
                crate::commands::ask(self.context, &question)?
            }
            None => String::new(),
        };
        if typed == app { Ok(()) } else { Err(Failure::NotConfirmed { app: app.to_owned(), typed }) }
    }

    fn path(&self) -> &'static str {
        match self.row.path_with {
            Some((word, path))
                if self.matches.contains_id(word) && self.matches.get_one::<String>(word).is_some() =>
            {
                path
            }
            _ => self.row.path,
        }
    }

    fn fill(&self, text: &str, values: &[(&str, String)], encode: impl Fn(&str) -> String) -> String {
        values
            .iter()
            .fold(text.to_owned(), |text, (id, value)| text.replace(&format!("{{{id}}}"), &encode(value)))
    }

    fn body(&self, values: &[(&str, String)]) -> Result<Option<Value>, Failure> {
        if self.row.body.is_empty() {
            return Ok(None);
        }
        let mut body = Value::Object(Map::new());
        for (field, source) in self.row.body {
            let given =
                |id: &str| values.iter().find(|(name, _)| *name == id).map(|(_, value)| value.as_str());
            let value = match source {
                Source::Text(id) => given(id).map(Value::from),
                Source::TextOrNull(id) => Some(given(id).into()),
                Source::Number(id) => {
                    given(id).map(|text| text.parse::<i64>().map_or(text.into(), Value::from))
                }
                Source::List(id) => {
                    given(id).map(|text| text.split(',').map(str::trim).collect::<Vec<_>>().into())
                }
                Source::File(id) => Some(read(given(id).unwrap_or_default())?.into()),
                Source::Flag(value) => Some((*value).into()),
                Source::Is(text) => Some((*text).into()),
            };
            if let Some(value) = value {
                put(&mut body, field, value);
            }
        }
        Ok(Some(body))
    }

    fn show(&self, answer: &Value) -> Result<(), Failure> {
        let out = self.context.out;
        if self.matches.get_flag("json") {
            return out.json(answer);
        }
        if let Some((_, template)) = self.row.instead.filter(|(switch, _)| self.matches.get_flag(switch)) {
            let items = answer.as_array().map_or(std::slice::from_ref(answer), Vec::as_slice);
            return out.print(&items.iter().map(|item| filled(template, item)).collect::<String>());
        }
        match &self.row.shown {
            Shown::Done(_) => Ok(()),
            Shown::Facts(facts) => {
                let facts: Vec<_> =
                    facts.iter().map(|(title, at)| ((*title).to_owned(), text_at(answer, at))).collect();
                out.print(&pairs(&facts))
            }
            Shown::Rows { columns, none } => {
                let items = answer.as_array().map(Vec::as_slice).unwrap_or_default();
                if items.is_empty() {
                    return out.print(&format!("{none}\n"));
                }
                let titles = columns.iter().map(|(title, _)| out.paint(Paint::Bold, title)).collect();
                let cells = |item: &Value| columns.iter().map(|(_, at)| text_at(item, at)).collect();
                let rows: Vec<Vec<String>> = std::iter::once(titles).chain(items.iter().map(cells)).collect();
                out.print(&table(&rows))
            }
        }
    }
}

/// `client/id` is a member of a member.
fn put(body: &mut Value, field: &str, value: Value) {
    let place = field.split('/').fold(body, |place, part| &mut place[part]);
    *place = value;
}

/// `{/pointer}` is replaced by what stands there.
fn filled(template: &str, item: &Value) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, (pointer, after))) =
        rest.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
    {
        text += before;
        text += &text_at(item, pointer);
        rest = after;
    }
    text + rest
}

/// A value for people: lists by commas, nothing for null.
fn text_at(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer).unwrap_or(&Value::Null) {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(list) => {
            let names = list.iter().map(|item| match item {
                Value::Object(_) => text_at(item, "/name"),
                other => text_at(other, ""),
            });
            names.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

fn read(path: &str) -> Result<String, Failure> {
    use std::io::Read as _;
    let mut text = String::new();
    let opened = std::fs::File::open(path);
    let read = opened.and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text));
    read.map(|_| text).map_err(|cause| Failure::Usage(format!("Could not read {path}: {cause}.")))
}
