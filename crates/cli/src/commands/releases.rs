//! `releases` and `rollback`: what ran when, and the way back.

use std::collections::BTreeMap;

use renga_wire::{Formation, Release, ReleaseCreate};

use crate::{
    app::AppArgs,
    client::segment,
    context::{Context, OnApp},
    errors::Failure,
    output::{Paint, pairs, table},
};

/// Releases among which `rollback` looks for the one before.
const ROLLBACK_RANGE: &str = "version ..; order=desc,max=10";
/// Releases that `-n` may ask for.
const LIST_MAX: u32 = 1_000;

/// `releases`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga releases -a times\n  renga releases -n 50 --json")]
pub struct ListArgs {
    #[command(flatten)]
    pub app: AppArgs,
    /// How many to show
    #[arg(short, long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=i64::from(LIST_MAX)))]
    pub num: u32,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// `releases:info`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga releases:info v10\n  renga releases:info --shell")]
pub struct InfoArgs {
    /// The release, as v10; the newest if left out
    pub release: Option<String>,
    #[command(flatten)]
    pub app: AppArgs,
    /// Print its config vars for a shell
    #[arg(short, long)]
    pub shell: bool,
    /// Print as JSON
    #[arg(long, conflicts_with = "shell")]
    pub json: bool,
}

/// `releases:output` and `rollback`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  renga releases:output v10\n  renga rollback\n  renga rollback v8 -a times"
)]
pub struct ReleaseArgs {
    /// The release, as v10
    pub release: Option<String>,
    #[command(flatten)]
    pub app: AppArgs,
}

/// `releases:retry`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga releases:retry -a times")]
pub struct RetryArgs {
    #[command(flatten)]
    pub app: AppArgs,
}

pub(crate) fn list(context: &Context<'_>, args: &ListArgs) -> Result<(), Failure> {
    let on = context.on_app(&args.app)?;
    let range = format!("version ..; max={}, order=desc", args.num);
    let releases: Vec<Release> = on.client.page(&on.path("/releases"), &range)?;
    let out = context.out;
    if args.json {
        return out.json(&releases);
    }
    if releases.is_empty() {
        return out.print(&format!("{} has no releases.\n", out.app(&on.app)));
    }
    let current = releases.iter().find(|release| release.current);
    let current = current.map(|release| format!(" - Current: v{}", release.version)).unwrap_or_default();
    let rows: Vec<_> = releases.iter().map(|release| row(context, release)).collect();
    out.print(&format!("{}{}", out.header(&format!("{} Releases{current}", out.app(&on.app))), table(&rows)))
}

fn row(context: &Context<'_>, release: &Release) -> Vec<String> {
    let out = context.out;
    let (paint, remark) = match release.status.as_str() {
        "failed" => (Paint::Red, "  release command failed"),
        "pending" => (Paint::Yellow, "  release command executing"),
        "expired" => (Paint::Grey, "  release expired"),
        _ => (Paint::Green, ""),
    };
    let description = format!("{}{}", release.description, out.paint(paint, remark).trim_end());
    vec![
        out.paint(paint, format!("v{}", release.version)),
        if remark.is_empty() { release.description.clone() } else { description },
        release.user.email.clone(),
        out.ago(release.created_at.0),
    ]
}

pub(crate) fn info(context: &Context<'_>, args: &InfoArgs) -> Result<(), Failure> {
    let on = context.on_app(&args.app)?;
    let release = find(&on, args.release.as_deref())?;
    let out = context.out;
    if args.json {
        return out.json(&release);
    }
    let config: BTreeMap<String, String> =
        on.client.get(&on.path(&format!("/releases/{}/config-vars", release.version)))?;
    let vars: Vec<_> = config.into_iter().collect();
    if args.shell {
        let line = |(key, value): &(String, String)| format!("{key}={}\n", crate::platform::quote_sh(value));
        return out.print(&vars.iter().map(line).collect::<String>());
    }
    let facts = [
        ("By".to_owned(), release.user.email.clone()),
        ("Change".to_owned(), release.description.clone()),
        ("Status".to_owned(), release.status.clone()),
        ("When".to_owned(), out.ago(release.created_at.0)),
    ];
    let (head, below) = (out.header(&format!("Release v{}", release.version)), pairs(&facts));
    let config = out.header(&format!("v{} Config vars", release.version)) + &pairs(&vars);
    out.print(&format!("{head}{below}\n{config}"))
}

pub(crate) fn output(context: &Context<'_>, args: &ReleaseArgs) -> Result<(), Failure> {
    let on = context.on_app(&args.app)?;
    let release = find(&on, args.release.as_deref())?;
    match &release.output_stream_url {
        Some(url) => stream(context, &on, url),
        None => {
            context.out.note(&format!("Release v{} has no release output available.\n", release.version));
            Ok(())
        }
    }
}

pub(crate) fn rollback(context: &Context<'_>, args: &ReleaseArgs) -> Result<(), Failure> {
    let on = context.on_app(&args.app)?;
    let target = match &args.release {
        Some(named) => find(&on, Some(named))?,
        None => before_current(on.client.page(&on.path("/releases"), ROLLBACK_RANGE)?, &on.app)?,
    };
    let app = context.out.app_doing(&on.app);
    let progress = context.out.doing(&format!("Rolling back {app} to v{}", target.version));
    let asked = ReleaseCreate { release: Some(target.id.to_string()), ..ReleaseCreate::default() };
    let made: Release = on.client.post(&on.path("/releases"), &asked)?;
    progress.done_with(&format!("done, v{}", made.version));
    context.out.note(&format!(
        "Rollback affects code and config vars; it doesn't add or remove addons.\n\
         To undo, run: renga rollback v{}\n",
        made.version.saturating_sub(1)
    ));
    match &made.output_stream_url {
        Some(url) => {
            context.out.note("Running release command...\n");
            stream(context, &on, url)
        }
        None => Ok(()),
    }
}

/// The newest release's code once more: its release command runs again.
pub(crate) fn retry(context: &Context<'_>, args: &RetryArgs) -> Result<(), Failure> {
    let on = context.on_app(&args.app)?;
    let newest = find(&on, None)?;
    let formation: Vec<Formation> = on.client.list(&on.path("/formation"))?;
    let slug = newest.slug.as_ref().filter(|_| formation.iter().any(|row| row.process_type == "release"));
    let slug = slug.ok_or_else(|| {
        Failure::Usage(format!("⬢ {} has no release command: there is nothing to retry.", on.app))
    })?;
    let progress =
        context.out.doing(&format!("Retrying v{} on {}", newest.version, context.out.app_doing(&on.app)));
    let description = format!("Retry of v{}: {}", newest.version, newest.description);
    let asked = ReleaseCreate {
        slug: Some(slug.id.to_string()),
        description: Some(description),
        ..ReleaseCreate::default()
    };
    let made: Release = on.client.post(&on.path("/releases"), &asked)?;
    progress.done_with(&format!("done, v{}", made.version));
    match &made.output_stream_url {
        Some(url) => {
            context.out.note("Running release command...\n");
            stream(context, &on, url)
        }
        None => Ok(()),
    }
}

/// The newest one that can be gone back to, behind the current one.
fn before_current(newest_first: Vec<Release>, app: &str) -> Result<Release, Failure> {
    let current =
        newest_first.iter().find(|release| release.current).map_or(u64::MAX, |release| release.version);
    let before =
        newest_first.into_iter().find(|release| release.eligible_for_rollback && release.version < current);
    before.ok_or_else(|| Failure::NoEarlierRelease { app: app.to_owned() })
}

/// By version (`v10`, `10`) or id; the newest without one.
fn find(on: &OnApp, named: Option<&str>) -> Result<Release, Failure> {
    match named {
        None => on.newest_release()?.ok_or_else(|| Failure::NoEarlierRelease { app: on.app.clone() }),
        Some(named) => {
            let number = named.strip_prefix('v').filter(|rest| rest.bytes().all(|b| b.is_ascii_digit()));
            on.client.get(&on.path(&format!("/releases/{}", segment(number.unwrap_or(named)))))
        }
    }
}

/// What a command prints, as it grows.
pub(crate) fn stream(context: &Context<'_>, on: &OnApp, url: &str) -> Result<(), Failure> {
    use std::io::Read as _;
    const CHUNK_BYTES: usize = 16 * 1024;
    let response = on.client.open(url, &[], None)?;
    if !response.status().is_success() {
        context.out.note("Release command not started yet. Please try again in a few seconds.\n");
        return Ok(());
    }
    let mut body = response.into_body().into_reader();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match body.read(&mut chunk).map_err(Failure::local("read the output"))? {
            0 => return Ok(()),
            read => context.out.print_bytes(&chunk[..read])?,
        }
    }
}
