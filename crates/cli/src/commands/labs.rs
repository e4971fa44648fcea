//! `labs`: features that can be switched, of the account and of an app, under one name.

use renga_wire::Feature;
use serde_json::json;

use crate::{
    app::{self, AppArgs},
    client::{Client, segment},
    context::{Context, Platform},
    errors::Failure,
    output::{pairs, table},
};

/// `labs`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga labs\n  renga labs -a times --json")]
pub struct ListArgs {
    #[command(flatten)]
    pub app: AppArgs,
    /// Print as JSON
    #[arg(short, long)]
    pub json: bool,
}

/// `labs:info`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga labs:info log-runtime-metrics -a times")]
pub struct InfoArgs {
    /// Name of the feature
    pub feature: String,
    #[command(flatten)]
    pub app: AppArgs,
    /// Print as JSON
    #[arg(short, long)]
    pub json: bool,
}

/// `labs:enable` and `labs:disable`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga labs:enable log-runtime-metrics -a times\n  \
                        renga labs:disable log-runtime-metrics -a times")]
pub struct SwitchArgs {
    /// Name of the feature
    pub feature: String,
    #[command(flatten)]
    pub app: AppArgs,
    /// Accepted for the sake of habit: no feature here asks for it
    #[arg(short, long, value_name = "APP", hide = true)]
    pub confirm: Option<String>,
}

/// The platform, and the app if one is meant: the account's features need none.
struct Place {
    client: Client,
    app: Option<String>,
}

impl Place {
    fn find(context: &Context<'_>, args: &AppArgs) -> Result<Self, Failure> {
        let Platform { place, client } = context.platform(&args.place)?;
        let app = match app::find(args, context.env.get("HEROKU_APP"), &place) {
            Err(Failure::NoApp) => None,
            found => Some(found?),
        };
        Ok(Self { client, app })
    }

    fn path_of_app(&self, feature: &str) -> Result<String, Failure> {
        let app = self.app.as_ref().ok_or(Failure::NoApp)?;
        Ok(format!("/apps/{}/features/{}", segment(app), segment(feature)))
    }

    /// The account's feature of that name, or else the app's.
    fn fetch(&self, feature: &str) -> Result<Feature, Failure> {
        match self.client.get(&format!("/account/features/{}", segment(feature))) {
            Err(Failure::Refused { status: 404, .. }) if self.app.is_some() => {
                self.client.get(&self.path_of_app(feature)?)
            }
            other => other,
        }
    }
}

pub(crate) fn list(context: &Context<'_>, args: &ListArgs) -> Result<(), Failure> {
    let on = Place::find(context, &args.app)?;
    let account: Vec<Feature> = on.client.list("/account/features")?;
    let of_app: Option<Vec<Feature>> = match &on.app {
        Some(app) => Some(on.client.list(&format!("/apps/{}/features", segment(app)))?),
        None => None,
    };
    let out = context.out;
    if args.json {
        return out.json(&json!({ "user": account, "app": of_app }));
    }
    let mut text = out.header("User Features") + &rows(&account);
    if let (Some(app), Some(features)) = (&on.app, &of_app) {
        text += &format!("\n{}{}", out.header(&format!("App Features {}", out.app(app))), rows(features));
    }
    out.print(&text)
}

fn rows(features: &[Feature]) -> String {
    let mark = |feature: &Feature| if feature.enabled { "[+]" } else { "[ ]" };
    let row = |f: &Feature| vec![mark(f).to_owned(), f.name.clone(), f.description.clone()];
    table(&features.iter().map(row).collect::<Vec<_>>())
}

pub(crate) fn info(context: &Context<'_>, args: &InfoArgs) -> Result<(), Failure> {
    let feature = Place::find(context, &args.app)?.fetch(&args.feature)?;
    if args.json {
        return context.out.json(&feature);
    }
    let facts = [
        ("Description".to_owned(), feature.description),
        ("Enabled".to_owned(), feature.enabled.to_string()),
        ("Docs".to_owned(), feature.doc_url),
    ];
    context.out.print(&(context.out.header(&feature.name) + &pairs(&facts)))
}

pub(crate) fn switch(context: &Context<'_>, args: &SwitchArgs, enabled: bool) -> Result<(), Failure> {
    let on = Place::find(context, &args.app)?;
    let doing = if enabled { "Enabling" } else { "Disabling" };
    let body = json!({ "enabled": enabled });
    let progress = context.out.doing(&format!("{doing} {}", args.feature));
    let of_account =
        on.client.patch::<Feature>(&format!("/account/features/{}", segment(&args.feature)), &body);
    match of_account {
        Err(Failure::Refused { status: 404, .. }) => {
            on.client.patch::<Feature>(&on.path_of_app(&args.feature)?, &body)?;
        }
        other => drop(other?),
    }
    progress.done();
    Ok(())
}
