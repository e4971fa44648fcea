//! `ps` and below: what runs, how much of it, and starting it again.

use std::collections::BTreeMap;

use renga_wire::{Dyno, DynoUsage, Formation, FormationUpdate, FormationUpdates, QuantityText};
use ureq::http::Method;

use crate::{
    app::AppArgs,
    client::segment,
    context::{Context, OnApp},
    errors::Failure,
    output::{Paint, table},
};

/// `ps`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga ps -a times\n  renga ps web worker\n  renga ps --json")]
pub struct ListArgs {
    /// Process types to show; all if left out
    #[arg(value_name = "TYPE")]
    pub types: Vec<String>,
    #[command(flatten)]
    pub app: AppArgs,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// `ps:scale`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  renga ps:scale web=3:standard-2x worker+1\n  renga ps:scale web-1 -a times\n  \
                        renga ps:scale"
)]
pub struct ScaleArgs {
    /// TYPE=NUMBER, TYPE=NUMBER:SIZE, TYPE+NUMBER or TYPE-NUMBER; shows the formation if left out
    #[arg(value_name = "CHANGE")]
    pub changes: Vec<String>,
    #[command(flatten)]
    pub app: AppArgs,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// `ps:type`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  renga ps:type\n  renga ps:type standard-2x\n  renga ps:type web=standard-2x worker=basic"
)]
pub struct TypeArgs {
    /// SIZE for all process types, or TYPE=SIZE
    #[arg(value_name = "CHANGE")]
    pub changes: Vec<String>,
    #[command(flatten)]
    pub app: AppArgs,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// `ps:restart` and `ps:stop`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  renga ps:restart\n  renga ps:restart --dyno-name web.1\n  renga ps:restart --process-type web\n  \
                        renga ps:stop run.1828 -a times"
)]
pub struct WhichArgs {
    /// A dyno (web.1) or a process type (web)
    #[arg(value_name = "DYNO", conflicts_with_all = ["dyno_name", "process_type"])]
    pub dyno: Option<String>,
    /// One dyno
    #[arg(short, long, value_name = "DYNO", conflicts_with = "process_type")]
    pub dyno_name: Option<String>,
    /// All dynos of a type
    #[arg(short, long, value_name = "TYPE")]
    pub process_type: Option<String>,
    #[command(flatten)]
    pub app: AppArgs,
}

pub(crate) fn list(context: &Context<'_>, args: &ListArgs) -> Result<(), Failure> {
    let on = context.on_app(&args.app)?;
    let mut dynos: Vec<Dyno> = on.client.list(&on.path("/dynos"))?;
    if !args.types.is_empty() {
        dynos.retain(|dyno| args.types.contains(&dyno.process_type));
        let missing = |named: &&String| !dynos.iter().any(|dyno| dyno.process_type == **named);
        if let Some(named) = args.types.iter().find(missing) {
            return Err(Failure::Usage(format!("no {named} dynos on ⬢ {}", on.app)));
        }
    }
    dynos.sort_by(|a, b| order(a).cmp(&order(b)));
    // Without the dyno manager nobody knows; what runs is shown all the same.
    let usage: Vec<DynoUsage> = on.client.get(&on.path("/renga/usage")).unwrap_or_default();
    if args.json {
        let used = |dyno| DynoWithUsage { dyno, usage: used_by(&usage, dyno) };
        return context.out.json(&dynos.iter().map(used).collect::<Vec<_>>());
    }
    if dynos.is_empty() {
        return context.out.print(&format!("No dynos on {}\n", context.out.app(&on.app)));
    }
    context.out.print(&groups(context, &dynos, &usage))
}

/// As the API shows it, and what it takes; null if it does not run.
#[derive(serde::Serialize)]
struct DynoWithUsage<'a> {
    #[serde(flatten)]
    dyno: &'a Dyno,
    usage: Option<&'a DynoUsage>,
}

fn used_by<'a>(usage: &'a [DynoUsage], dyno: &Dyno) -> Option<&'a DynoUsage> {
    usage.iter().find(|used| used.dyno.id == dyno.id)
}

/// `, 34 of 512 MiB, 12% of a processor`
fn taken(used: Option<&DynoUsage>) -> String {
    const MIB: u64 = 1024 * 1024;
    let Some(used) = used else { return String::new() };
    let cpu = used.cpu_percent.map(|percent| format!(", {percent:.0}% of a processor")).unwrap_or_default();
    let frozen = if used.frozen { ", frozen" } else { "" };
    format!("{frozen}, {} of {} MiB{cpu}", used.memory_bytes / MIB, used.memory_quota_bytes / MIB)
}

/// One-off dynos first; `web.2` before `web.10`.
fn order(dyno: &Dyno) -> (bool, &str, u32) {
    let number = dyno.name.rsplit_once('.').and_then(|(_, number)| number.parse().ok()).unwrap_or(0);
    (dyno.process_type != "run", &dyno.process_type, number)
}

fn groups(context: &Context<'_>, dynos: &[Dyno], usage: &[DynoUsage]) -> String {
    let out = context.out;
    let mut groups: BTreeMap<(bool, &str, &str), Vec<&Dyno>> = BTreeMap::new();
    for dyno in dynos {
        let one_off = dyno.process_type == "run";
        let key = (!one_off, dyno.process_type.as_str(), if one_off { "" } else { dyno.command.as_str() });
        groups.entry(key).or_default().push(dyno);
    }
    let mut text = String::new();
    for ((formation, process_type, command), dynos) in groups {
        let count = dynos.len();
        text += &out.header(&match formation {
            true => format!("{process_type} ({}): {command} ({count})", dynos[0].size),
            false => format!("run: one-off processes ({count})"),
        });
        for dyno in dynos {
            let paint = if dyno.state == "up" { Paint::Green } else { Paint::Yellow };
            let (state, ago) = (out.paint(paint, &dyno.state), out.ago(dyno.updated_at.0));
            let taken = taken(used_by(usage, dyno));
            text += &match formation {
                true => format!("{}: {state} {ago}{taken}\n", dyno.name),
                false => format!("{} ({}): {state} {ago}{taken}: {}\n", dyno.name, dyno.size, dyno.command),
            };
        }
        text.push('\n');
    }
    text
}

// === the formation ===

pub(crate) fn scale(context: &Context<'_>, args: &ScaleArgs) -> Result<(), Failure> {
    let updates = args.changes.iter().map(|change| parse_scale(change)).collect::<Result<Vec<_>, _>>()?;
    let on = context.on_app(&args.app)?;
    if updates.is_empty() {
        let formation = formation(&on)?;
        if args.json {
            return context.out.json(&formation);
        }
        if formation.is_empty() {
            return Err(Failure::NoProcessTypes { app: on.app });
        }
        let one = |row: &Formation| format!("{}={}:{}", row.process_type, row.quantity, row.size);
        return context.out.print(&format!("{}\n", formation.iter().map(one).collect::<Vec<_>>().join(" ")));
    }
    let progress = context.out.doing("Scaling dynos");
    let now = update(&on, updates)?;
    let one = |row: &Formation| format!("{} at {}:{}", row.process_type, row.quantity, row.size);
    let mine = now.iter().filter(|row| args.changes.iter().any(|change| names(change, &row.process_type)));
    progress.done_with(&format!("done, now running {}", mine.map(one).collect::<Vec<_>>().join(", ")));
    if args.json { context.out.json(&now) } else { Ok(()) }
}

pub(crate) fn resize(context: &Context<'_>, args: &TypeArgs) -> Result<(), Failure> {
    let on = context.on_app(&args.app)?;
    let mut rows = formation(&on)?;
    if !args.changes.is_empty() {
        let updates = parse_sizes(&args.changes, &rows)?;
        let progress = context.out.doing(&format!("Scaling dynos on {}", context.out.app_doing(&on.app)));
        update(&on, updates)?;
        progress.done();
        rows = formation(&on)?;
    }
    if args.json {
        return context.out.json(&rows);
    }
    if rows.is_empty() {
        return Err(Failure::NoProcessTypes { app: on.app });
    }
    let mut cells = vec![["Type", "Size", "Qty"].map(|title| context.out.paint(Paint::Bold, title)).to_vec()];
    cells.extend(
        rows.iter().map(|row| vec![row.process_type.clone(), row.size.clone(), row.quantity.to_string()]),
    );
    context.out.print(&(context.out.header("Process Types") + &table(&cells)))
}

fn formation(on: &OnApp) -> Result<Vec<Formation>, Failure> {
    let mut rows: Vec<Formation> = on.client.list(&on.path("/formation"))?;
    rows.sort_by(|a, b| a.process_type.cmp(&b.process_type));
    Ok(rows)
}

fn update(on: &OnApp, updates: Vec<FormationUpdate>) -> Result<Vec<Formation>, Failure> {
    on.client.patch(&on.path("/formation"), &FormationUpdates { updates })
}

/// `web=3`, `web=3:standard-2x`, `web+1`, `web-1`: a type has no `=` or `+`, but it may hold a `-`.
fn parse_scale(change: &str) -> Result<FormationUpdate, Failure> {
    let wrong = || {
        Failure::Usage(format!(
            "{change} is invalid. Must be in the format web=3, web=3:SIZE, web+1 or web-1."
        ))
    };
    let (process_type, quantity, size) = split_scale(change).ok_or_else(wrong)?;
    Ok(FormationUpdate {
        process_type: Some(process_type.to_owned()),
        quantity: Some(QuantityText::Text(quantity.to_owned())),
        size: size.map(str::to_owned),
        ..FormationUpdate::default()
    })
}

fn split_scale(change: &str) -> Option<(&str, &str, Option<&str>)> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if let Some((process_type, rest)) = change.split_once('=') {
        let (number, size) = rest.split_once(':').map_or((rest, None), |(number, size)| (number, Some(size)));
        let fits = !process_type.is_empty() && digits(number) && size.is_none_or(|size| !size.is_empty());
        return fits.then_some((process_type, number, size));
    }
    let sign = change.rfind(['+', '-']).filter(|at| *at > 0)?;
    let (process_type, quantity) = change.split_at(sign);
    digits(&quantity[1..]).then_some((process_type, quantity, None))
}

fn names(change: &str, process_type: &str) -> bool {
    split_scale(change).is_some_and(|(named, _, _)| named == process_type)
}

fn parse_sizes(changes: &[String], rows: &[Formation]) -> Result<Vec<FormationUpdate>, Failure> {
    let of = |process_type: &str, size: &str| FormationUpdate {
        process_type: Some(process_type.to_owned()),
        size: Some(size.to_owned()),
        ..FormationUpdate::default()
    };
    if let [size] = changes
        && !size.contains('=')
    {
        return Ok(rows.iter().map(|row| of(&row.process_type, size)).collect());
    }
    let one = |change: &String| {
        let pair = change
            .split_once('=')
            .filter(|(process_type, size)| !process_type.is_empty() && !size.is_empty());
        let wrong = || Failure::Usage(format!("{change} is invalid. Must be in the format web=standard-1x."));
        pair.map(|(process_type, size)| of(process_type, size)).ok_or_else(wrong)
    };
    changes.iter().map(one).collect()
}

// === restart and stop ===

#[derive(Debug, PartialEq, Eq)]
enum Which {
    All,
    Dyno(String),
    Type(String),
}

impl WhichArgs {
    fn which(&self) -> Which {
        match (&self.dyno, &self.dyno_name, &self.process_type) {
            (Some(named), _, _) if !named.contains('.') => Which::Type(named.clone()),
            (Some(named), _, _) | (None, Some(named), _) => Which::Dyno(named.clone()),
            (None, None, Some(named)) => Which::Type(named.clone()),
            (None, None, None) => Which::All,
        }
    }
}

pub(crate) fn restart(context: &Context<'_>, args: &WhichArgs) -> Result<(), Failure> {
    let on = context.on_app(&args.app)?;
    let (what, path) = match args.which() {
        Which::All => ("Restarting all dynos".to_owned(), "/dynos".to_owned()),
        Which::Dyno(dyno) => (format!("Restarting dyno {dyno}"), format!("/dynos/{}", segment(&dyno))),
        Which::Type(named) => {
            (format!("Restarting all {named} dynos"), format!("/formations/{}", segment(&named)))
        }
    };
    let progress = context.out.doing(&format!("{what} on {}", context.out.app_doing(&on.app)));
    on.client.act(Method::DELETE, &on.path(&path))?;
    progress.done();
    Ok(())
}

pub(crate) fn stop(context: &Context<'_>, args: &WhichArgs) -> Result<(), Failure> {
    let (what, path) = match args.which() {
        Which::All => {
            return Err(Failure::Usage("say what to stop: a dyno (web.1) or a process type (web)".into()));
        }
        Which::Dyno(dyno) => {
            (format!("Stopping dyno {dyno}"), format!("/dynos/{}/actions/stop", segment(&dyno)))
        }
        Which::Type(named) => {
            (format!("Stopping all {named} dynos"), format!("/formations/{}/actions/stop", segment(&named)))
        }
    };
    let on = context.on_app(&args.app)?;
    let progress = context.out.doing(&format!("{what} on {}", context.out.app_doing(&on.app)));
    on.client.act(Method::POST, &on.path(&path))?;
    progress.done();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_as_heroku_reads_them() {
        let split = |change| split_scale(change);
        assert_eq!(split("web=3"), Some(("web", "3", None)));
        assert_eq!(split("web=3:standard-2x"), Some(("web", "3", Some("standard-2x"))));
        assert_eq!(split("worker+1"), Some(("worker", "+1", None)));
        assert_eq!(split("my-worker-2"), Some(("my-worker", "-2", None)));
        for wrong in ["web", "web=", "web=x", "=3", "+1", "web=3:", "my-worker", ""] {
            assert_eq!(split(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_name_with_a_number_is_a_dyno() {
        let which = |dyno: &str| {
            WhichArgs {
                dyno: Some(dyno.into()),
                dyno_name: None,
                process_type: None,
                app: AppArgs::default(),
            }
            .which()
        };
        assert_eq!(which("web.1"), Which::Dyno("web.1".into()));
        assert_eq!(which("web"), Which::Type("web".into()));
    }
}
