//! `why`: what the platform wants, sees and has decided about an app's dynos.

use renga_wire::{Why, WhyDyno};

use crate::{
    app::AppArgs,
    client::segment,
    context::Context,
    errors::Failure,
    output::{Paint, table},
};

/// `why`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga why\n  renga why web.1 -a times\n  renga why times --json")]
pub struct WhyArgs {
    /// A dyno (web.1), or an app; all dynos of the app if left out
    #[arg(value_name = "DYNO|APP")]
    pub what: Option<String>,
    #[command(flatten)]
    pub app: AppArgs,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

pub(crate) fn why(context: &Context<'_>, args: &WhyArgs) -> Result<(), Failure> {
    // Only dynos have a dot in their names.
    let (dyno, app) = match &args.what {
        Some(dyno) if dyno.contains('.') => (Some(dyno), args.app.clone()),
        Some(app) if args.app.app.is_some() => {
            return Err(Failure::Usage(format!("{app} is no dyno: name one as web.1")));
        }
        Some(app) => (None, AppArgs { app: Some(app.clone()), ..args.app.clone() }),
        None => (None, args.app.clone()),
    };
    let on = context.on_app(&app)?;
    let path = dyno.map_or("/renga/why".to_owned(), |dyno| format!("/renga/why/{}", segment(dyno)));
    let why: Why = on.client.get(&on.path(&path))?;
    if args.json { context.out.json(&why) } else { context.out.print(&told(context, &why)) }
}

fn told(context: &Context<'_>, why: &Why) -> String {
    let out = context.out;
    let mut text = match why.release {
        Some(version) => out.header(&format!("{} runs v{version}", out.app(&why.app.name))),
        None => out.header(&format!("{}: nothing was deployed yet", out.app(&why.app.name))),
    };
    for dyno in &why.dynos {
        text += &standing(context, dyno);
    }
    text += "\n";
    text += &out.header("Decisions, the newest first");
    let rows = why.decisions.iter().map(|decision| {
        vec![out.ago(decision.at.0), decision.dyno.clone(), decision.action.clone(), decision.reason.clone()]
    });
    text += &table(&rows.collect::<Vec<_>>());
    let since = out.ago(why.decisions_since.0);
    text + &format!("Decisions are remembered since the platform's last start, {since}.\n")
}

fn standing(context: &Context<'_>, dyno: &WhyDyno) -> String {
    let out = context.out;
    let seen = match &dyno.seen {
        Some(seen) => {
            let paint = if seen.state == "up" { Paint::Green } else { Paint::Yellow };
            let release = seen.release.map(|version| format!(" v{version}")).unwrap_or_default();
            format!("{}{release} since {}", out.paint(paint, &seen.state), out.ago(seen.since.0))
        }
        None => out.paint(Paint::Yellow, "not there"),
    };
    let wanted = if dyno.wanted { "wanted" } else { "not wanted" };
    let next = dyno.next_at.map(|at| format!(" ({})", until(context, at.0))).unwrap_or_default();
    format!("{}: {wanted}, {seen}\n  {}{next}\n", dyno.name, dyno.because)
}

/// `at 12:00:00 UTC, in 40s`
fn until(context: &Context<'_>, at: jiff::Timestamp) -> String {
    let seconds = at.as_second() - context.out.now.as_second();
    let shown = at.strftime("%Y-%m-%d %H:%M:%S UTC");
    match seconds {
        ..=0 => format!("since {shown}"),
        1..120 => format!("at {shown}, in {seconds}s"),
        _ => format!("at {shown}, in {}m", seconds / 60),
    }
}
