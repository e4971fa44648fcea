//! `users`: the accounts of a platform, for its operator.

use std::path::PathBuf;

use renga_wire::{User, UserCreate, UserLink};

use crate::{
    client::segment,
    context::{Context, Platform},
    errors::Failure,
    output::{Paint, table},
    platform::PlaceArgs,
};

/// `users`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  renga users\n  renga users add ada@example.com\n  renga users disable ada@example.com\n  \
                        renga users reset-password ada@example.com\n\nAdding a user and resetting a password print a link \
                        that works once: hand it over."
)]
pub struct UsersArgs {
    #[command(subcommand)]
    pub action: Option<Action>,
    /// Data directory of the platform on this machine [default: $RENGA_DATA_DIR, $HEROKU_HOST, /var/lib/renga]
    #[arg(long, value_name = "DIR", help_heading = "Platform", global = true)]
    pub data_dir: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// List all accounts
    List {
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Invite somebody; prints the link that makes the account
    Add {
        email: String,
        /// Make the account now, with the password in this file
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Shut an account out; its apps run on
    Disable { user: String },
    /// Let a disabled account in again
    Enable { user: String },
    /// Print a link that sets a new password
    ResetPassword { user: String },
    /// Have an account log in without a code, for whoever has lost the device
    DisableTwoFactor { user: String },
}

pub(crate) fn users(context: &Context<'_>, args: &UsersArgs) -> Result<(), Failure> {
    let on = context.platform(&PlaceArgs { data_dir: args.data_dir.clone() })?;
    match args.action.as_ref().unwrap_or(&Action::List { json: false }) {
        Action::List { json } => list(context, &on, *json),
        Action::Add { email, password_file } => add(context, &on, email, password_file.as_ref()),
        Action::Disable { user } => switch(context, &on, user, "disable", "Disabling"),
        Action::Enable { user } => switch(context, &on, user, "enable", "Enabling"),
        Action::DisableTwoFactor { user } => {
            switch(context, &on, user, "disable-two-factor", "Disabling the second factor of")
        }
        Action::ResetPassword { user } => {
            let link: UserLink = on.client.post(&path(user, "reset-password"), &serde_json::json!({}))?;
            handed_over(context, &link, "sets a new password")
        }
    }
}

fn list(context: &Context<'_>, on: &Platform, json: bool) -> Result<(), Failure> {
    let users: Vec<User> = on.client.list("/renga/users")?;
    if json {
        return context.out.json(&users);
    }
    let out = context.out;
    let rows = users.iter().map(|user| {
        let state = match user.suspended_at {
            Some(_) => out.paint(Paint::Red, "disabled"),
            None => "enabled".to_owned(),
        };
        let marks = [(user.operator, "operator"), (user.two_factor_authentication, "two-factor")];
        let marks: Vec<_> = marks.iter().filter(|(is, _)| *is).map(|(_, mark)| *mark).collect();
        let login = user
            .last_login
            .as_ref()
            .map_or("never logged in".to_owned(), |at| format!("logged in {}", out.ago(at.0)));
        vec![user.email.clone(), state, login, marks.join(", ")]
    });
    out.print(&table(&rows.collect::<Vec<_>>()))
}

fn add(context: &Context<'_>, on: &Platform, email: &str, file: Option<&PathBuf>) -> Result<(), Failure> {
    let password = match file {
        Some(file) => {
            let text = std::fs::read_to_string(file);
            let text =
                text.map_err(|cause| Failure::Local { doing: format!("read {}", file.display()), cause })?;
            Some(text.trim_end_matches(['\r', '\n']).to_owned())
        }
        None => None,
    };
    let made: UserLink = on.client.post("/renga/users", &UserCreate { email: email.to_owned(), password })?;
    match made.url {
        None => context.out.print(&format!("{} can log in now.\n", made.email)),
        Some(_) => handed_over(context, &made, "makes the account"),
    }
}

/// The link alone goes to stdout.
fn handed_over(context: &Context<'_>, link: &UserLink, what: &str) -> Result<(), Failure> {
    let until = link.expires_at.as_ref().map(|at| at.0.strftime("%Y-%m-%d %H:%M UTC").to_string());
    let until = until.unwrap_or_default();
    let how = if link.mailed { "A letter with this link is on its way to" } else { "Give this link to" };
    context.out.note(&format!("{how} {}: it {what}, works once, and until {until}.\n", link.email));
    context.out.print(&format!("{}\n", link.url.as_deref().unwrap_or_default()))
}

fn switch(
    context: &Context<'_>,
    on: &Platform,
    user: &str,
    action: &str,
    doing: &str,
) -> Result<(), Failure> {
    let progress = context.out.doing(&format!("{doing} {user}"));
    let _: User = on.client.post(&path(user, action), &serde_json::json!({}))?;
    progress.done();
    Ok(())
}

fn path(user: &str, action: &str) -> String {
    format!("/renga/users/{}/actions/{action}", segment(user))
}
