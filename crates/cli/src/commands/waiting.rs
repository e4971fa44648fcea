//! `ps:wait`: until the dynos run the newest release.

use std::time::Duration;

use renga_wire::Dyno;

use crate::{app::AppArgs, context::Context, errors::Failure};

/// Seconds between two looks that `--wait-interval` may ask for.
const INTERVAL_S_MAX: u64 = 600;

/// `ps:wait`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga ps:wait -a times\n  renga ps:wait --type web -w 2")]
pub struct WaitArgs {
    #[command(flatten)]
    pub app: AppArgs,
    /// Only dynos of this type
    #[arg(short, long)]
    pub r#type: Option<String>,
    /// Seconds between two looks
    #[arg(short, long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=INTERVAL_S_MAX))]
    pub wait_interval: u64,
    /// One-off dynos, too
    #[arg(short = 'R', long)]
    pub with_run: bool,
}

pub(crate) fn wait(context: &Context<'_>, args: &WaitArgs) -> Result<(), Failure> {
    let on = context.on_app(&args.app)?;
    let newest = on.newest_release()?.ok_or_else(|| Failure::NoEarlierRelease { app: on.app.clone() })?;
    let mut told = None;
    loop {
        let mut dynos: Vec<Dyno> = on.client.list(&on.path("/dynos"))?;
        let meant = |dyno: &Dyno| match &args.r#type {
            Some(named) => dyno.process_type == *named,
            None => args.with_run || dyno.process_type != "run",
        };
        dynos.retain(meant);
        let runs = |dyno: &&Dyno| dyno.state == "up" && dyno.release.version >= newest.version;
        let (ready, all) = (dynos.iter().filter(runs).count(), dynos.len());
        if told.is_none() && ready < all {
            context.out.note(&format!("Waiting for every dyno to be running v{}...\n", newest.version));
        }
        if told.is_some_and(|before| before != ready) || (told.is_none() && ready < all) {
            context.out.note(&format!("{ready} / {all}\n"));
        }
        if ready == all {
            return Ok(());
        }
        told = Some(ready);
        std::thread::sleep(Duration::from_secs(args.wait_interval));
    }
}
