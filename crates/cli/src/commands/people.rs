//! Who works on what, where one request is not enough: a team's members with those who are invited, and apps that are
//! given to another owner.

use renga_wire::{App, AppTransfer, AppTransferCreate, TeamInvitation, TeamMember};
use serde_json::{Value, json};

use crate::{
    app::AppArgs,
    client::segment,
    context::Context,
    errors::Failure,
    output::{Paint, table},
    platform::PlaceArgs,
};

/// `members`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga members -t shop\n  renga members -t shop --role admin\n  \
                        renga members -t shop --pending --json")]
pub struct MembersArgs {
    /// Team
    #[arg(short, long)]
    pub team: String,
    /// Only those with this role: admin, member or collaborator
    #[arg(short, long)]
    pub role: Option<String>,
    /// Only those who are invited and have not accepted
    #[arg(long)]
    pub pending: bool,
    /// Print as JSON
    #[arg(short, long)]
    pub json: bool,
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// `apps:transfer`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga apps:transfer ann@example.com -a times\n  \
                        renga apps:transfer shop -a times --locked")]
pub struct TransferArgs {
    /// E-mail address of an account, or the name of a team
    pub recipient: String,
    #[command(flatten)]
    pub app: AppArgs,
    /// Lock the app once the team has it: nobody joins it then
    #[arg(short, long)]
    pub locked: bool,
}

pub(crate) fn members(context: &Context<'_>, args: &MembersArgs) -> Result<(), Failure> {
    let client = context.platform(&args.place)?.client;
    let team = format!("/teams/{}", segment(&args.team));
    let has_role = |role: Option<&str>| args.role.as_deref().is_none_or(|asked| role == Some(asked));
    let mut members: Vec<TeamMember> = match args.pending {
        true => Vec::new(),
        false => client.list(&format!("{team}/members"))?,
    };
    members.retain(|member| has_role(member.role.as_deref()));
    let mut invited: Vec<TeamInvitation> = match args.pending {
        true => client.list(&format!("{team}/invitations"))?,
        false => Vec::new(),
    };
    invited.retain(|one| has_role(one.role.as_deref()));
    if args.json {
        return if args.pending { context.out.json(&invited) } else { context.out.json(&members) };
    }
    let people = members.iter().map(|member| (&member.email, member.role.as_deref(), ""));
    let people = people.chain(invited.iter().map(|one| (&one.user.email, one.role.as_deref(), "pending")));
    let row = |(email, role, status): (&String, Option<&str>, &str)| {
        vec![email.clone(), role.unwrap_or_default().to_owned(), status.to_owned()]
    };
    let rows: Vec<_> = people.map(row).collect();
    match rows.is_empty() {
        true => context.out.print(&format!("No such members in {}.\n", args.team)),
        false => {
            let titles = ["Email", "Role", "Status"].map(|title| context.out.paint(Paint::Bold, title));
            context.out.print(&table(&[vec![titles.to_vec()], rows].concat()))
        }
    }
}

/// A person has to accept, unless the app is a team's; a team has it at once.
pub(crate) fn transfer(context: &Context<'_>, args: &TransferArgs) -> Result<(), Failure> {
    let on = context.on_app(&args.app)?;
    let app: App = on.client.get(&on.path(""))?;
    let of_team = app.team.is_some() || !args.recipient.contains('@');
    let (shown, recipient) = (context.out.app_doing(&on.app), &args.recipient);
    if of_team {
        let path = format!("/teams/apps/{}", segment(&on.app));
        let progress = context.out.doing(&format!("Transferring {shown} to {recipient}"));
        on.client.patch::<Value>(&path, &json!({ "owner": recipient }))?;
        progress.done();
        if args.locked {
            let progress = context.out.doing(&format!("Locking {shown}"));
            on.client.patch::<Value>(&path, &json!({ "locked": true }))?;
            progress.done();
        }
        return Ok(());
    }
    if args.locked {
        return Err(Failure::Usage(
            "--locked is for apps of teams: nobody can join an app that is a person's.".into(),
        ));
    }
    let progress = context.out.doing(&format!("Initiating transfer of {shown} to {recipient}"));
    let asked = AppTransferCreate { app: on.app.clone(), recipient: recipient.clone(), silent: None };
    let made: AppTransfer = on.client.post("/account/app-transfers", &asked)?;
    progress.done();
    context.out.note(&format!(
        "{} takes it over by: renga apps:transfers:accept {}\n",
        made.recipient.email, made.app.name
    ));
    Ok(())
}
