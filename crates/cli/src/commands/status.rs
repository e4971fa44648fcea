//! `status`: what the platform says of itself.

use serde_json::Value;

use crate::{context::Context, errors::Failure, output::pairs, platform::PlaceArgs};

/// `status`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga status\n  renga status --json")]
pub struct StatusArgs {
    /// Print as JSON
    #[arg(short, long)]
    pub json: bool,
    #[command(flatten)]
    pub place: PlaceArgs,
}

pub(crate) fn status(context: &Context<'_>, args: &StatusArgs) -> Result<(), Failure> {
    let status: Value = context.platform(&args.place)?.client.get("/api/v4/current-status")?;
    if args.json {
        return context.out.json(&status);
    }
    let systems = status["status"].as_array().map(Vec::as_slice).unwrap_or_default();
    let shown = |system: &Value| {
        let word =
            if system["status"] == "green" { "No known issues at this time." } else { "There are issues." };
        (system["system"].as_str().unwrap_or_default().to_owned(), word.to_owned())
    };
    context.out.print(&pairs(&systems.iter().map(shown).collect::<Vec<_>>()))
}
