//! Apps themselves: listed, made, shown, opened, renamed, put into maintenance, destroyed; and their host names.

use std::{collections::BTreeMap, io::IsTerminal as _, process::Stdio};

use renga_wire::{
    Account, App, AppCreate, AppUpdate, BuildpackUpdate, BuildpackUpdates, Collaborator, Domain, Dyno,
    TeamAppCreate,
};
use serde_json::{Value, json};
use ureq::http::Method;

use crate::{
    Environment,
    app::AppArgs,
    client::segment,
    context::{Context, OnApp},
    errors::Failure,
    git,
    output::{Paint, pairs, table},
    platform::PlaceArgs,
};

/// `apps`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga apps\n  renga apps --json")]
pub struct ListArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Apps of your teams, too
    #[arg(short = 'A', long)]
    pub all: bool,
    /// Apps of this team
    #[arg(short, long, conflicts_with = "all")]
    pub team: Option<String>,
    /// Your own apps and those that you collaborate on, which is the default
    #[arg(short, long, conflicts_with_all = ["all", "team"])]
    pub personal: bool,
    /// Print as JSON
    #[arg(short, long)]
    pub json: bool,
}

/// `create`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  renga create\n  renga create times\n  renga create times --remote staging\n  \
                        renga create --buildpack heroku/python --stack heroku-24"
)]
pub struct CreateArgs {
    /// Name of the app; a free one is made up if left out
    pub name: Option<String>,
    /// Name of the app
    #[arg(short, long, value_name = "APP", conflicts_with = "name")]
    pub app: Option<String>,
    /// Name of the git remote to make
    #[arg(short, long, default_value = "heroku")]
    pub remote: String,
    /// Make no git remote
    #[arg(short, long)]
    pub no_remote: bool,
    /// Stack to run on
    #[arg(short, long)]
    pub stack: Option<String>,
    /// Buildpack to build with
    #[arg(short, long)]
    pub buildpack: Option<String>,
    /// Team that is to own it
    #[arg(short, long)]
    pub team: Option<String>,
    /// Where it is to run; renga regions lists what there is
    #[arg(long)]
    pub region: Option<String>,
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// `info`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga info -a times\n  renga info --shell\n  renga info --json")]
pub struct InfoArgs {
    #[command(flatten)]
    pub app: AppArgs,
    /// Print as key=value lines
    #[arg(short, long, conflicts_with = "json")]
    pub shell: bool,
    /// Print as JSON
    #[arg(short, long)]
    pub json: bool,
}

/// `open`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga open\n  renga open /about -a times")]
pub struct OpenArgs {
    /// Path to open
    #[arg(value_name = "PATH")]
    pub path: Option<String>,
    #[command(flatten)]
    pub app: AppArgs,
}

/// `apps:rename`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga apps:rename newer -a times")]
pub struct RenameArgs {
    /// The new name
    pub name: String,
    #[command(flatten)]
    pub app: AppArgs,
}

/// `destroy`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga destroy -a times\n  renga destroy -a times --confirm times")]
pub struct DestroyArgs {
    #[command(flatten)]
    pub app: AppArgs,
    /// The app's name again, instead of being asked
    #[arg(short, long, value_name = "APP")]
    pub confirm: Option<String>,
}

/// `maintenance`, `maintenance:on`, `maintenance:off`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga maintenance:on -a times\n  renga maintenance:off -a times")]
pub struct MaintenanceArgs {
    #[command(flatten)]
    pub app: AppArgs,
}

/// `domains`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga domains -a times\n  renga domains --json")]
pub struct DomainsArgs {
    #[command(flatten)]
    pub app: AppArgs,
    /// Print as JSON
    #[arg(short, long)]
    pub json: bool,
}

/// `domains:clear`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga domains:clear -a times")]
pub struct DomainsClearArgs {
    #[command(flatten)]
    pub app: AppArgs,
}

/// Of all apps that the caller may see, for completion: nothing is said of what goes wrong.
pub(crate) fn names(env: &Environment) -> Vec<String> {
    let context = Context::new(env, jiff::Timestamp::now());
    let list = context.platform(&PlaceArgs::default()).and_then(|on| on.client.list("/apps"));
    let apps: Vec<App> = list.unwrap_or_default();
    apps.into_iter().map(|app| app.name.to_string()).collect()
}

pub(crate) fn list(context: &Context<'_>, args: &ListArgs) -> Result<(), Failure> {
    let on = context.platform(&args.place)?;
    let path = match &args.team {
        Some(team) => format!("/teams/{}/apps", segment(team)),
        None => if args.all { "/apps" } else { "/users/~/apps" }.to_owned(),
    };
    let mut apps: Vec<App> = on.client.list(&path)?;
    apps.sort_by(|a, b| a.name.cmp(&b.name));
    if args.json {
        return context.out.json(&apps);
    }
    if apps.is_empty() {
        return context.out.print("You have no apps.\nMake one by: renga create\n");
    }
    let account: Account = on.client.get("/account")?;
    let (mine, others): (Vec<_>, Vec<_>) = apps.iter().partition(|app| app.owner.email == account.email);
    let mut text = String::new();
    if !mine.is_empty() {
        text += &context.out.header(&format!("{} Apps", account.email));
        mine.iter().for_each(|app| text += &format!("{}\n", context.out.app(&app.name)));
    }
    if !others.is_empty() {
        text += &context.out.header("Collaborated Apps");
        text += &table(
            &others
                .iter()
                .map(|app| vec![context.out.app(&app.name), app.owner.email.clone()])
                .collect::<Vec<_>>(),
        );
    }
    context.out.print(&text)
}

fn of_team(asked: &AppCreate, team: &str) -> TeamAppCreate {
    let AppCreate { name, stack, region, .. } = asked.clone();
    TeamAppCreate { name, stack, region, team: Some(team.to_owned()), ..TeamAppCreate::default() }
}

pub(crate) fn create(context: &Context<'_>, args: &CreateArgs) -> Result<(), Failure> {
    let on = context.platform(&args.place)?;
    let name = args.name.clone().or_else(|| args.app.clone());
    let named = name.as_deref().map_or_else(|| "app".into(), |name| context.out.app_doing(name));
    let progress = context.out.doing(&format!("Creating {named}"));
    let asked =
        AppCreate { name, stack: args.stack.clone(), region: args.region.clone(), ..AppCreate::default() };
    let app: App = match &args.team {
        Some(team) => on.client.post("/teams/apps", &of_team(&asked, team))?,
        None => on.client.post("/apps", &asked)?,
    };
    progress.done_with(&match asked.name {
        Some(_) => format!("done, stack is {}", app.stack.name),
        None => format!("done, {}, stack is {}", context.out.app_doing(&app.name), app.stack.name),
    });
    if let Some(buildpack) = &args.buildpack {
        let progress = context.out.doing(&format!("Setting buildpack to {buildpack}"));
        let updates = vec![BuildpackUpdate { buildpack: buildpack.clone() }];
        let path = format!("/apps/{}/buildpack-installations", segment(&app.name));
        on.client.put::<Value>(&path, &BuildpackUpdates { updates })?;
        progress.done();
    }
    let url = on.place.git_url(&app.name);
    let free = |remote: &git::Remote| remote.name != args.remote;
    if !args.no_remote && !git::is_repository() {
        context.out.note(&format!(
            "This folder is no git repository: after `git init`, renga git:remote --app {} adds the remote to push to.\n",
            app.name
        ));
    }
    if !args.no_remote && git::is_repository() && git::remotes().iter().all(free) {
        git::set_remote(&args.remote, &url)?;
        super::trust_repository(context, &on.place)?;
    }
    if args.json {
        return context.out.json(&app);
    }
    let web = app.web_url.as_deref().unwrap_or_default();
    context.out.print(&format!(
        "{} | {}\n",
        context.out.paint(Paint::Cyan, web),
        context.out.paint(Paint::Green, url)
    ))
}

pub(crate) fn info(context: &Context<'_>, args: &InfoArgs) -> Result<(), Failure> {
    let on = context.on_app(&args.app)?;
    let app: App = on.client.get(&on.path(""))?;
    let dynos: Vec<Dyno> = on.client.list(&on.path("/dynos"))?;
    let collaborators: Vec<Collaborator> = on.client.list(&on.path("/collaborators"))?;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    dynos.iter().for_each(|dyno| *counts.entry(&dyno.process_type).or_default() += 1);
    if args.json {
        return context
            .out
            .json(&json!({ "app": app, "dynos": dynos, "collaborators": collaborators, "addons": [] }));
    }
    if args.shell {
        return context.out.print(&for_shell(&on, &app, &counts));
    }
    let size = |bytes: Option<u64>| shown_bytes(bytes.unwrap_or(0));
    let counts: Vec<_> =
        counts.iter().map(|(process_type, count)| format!("{process_type}: {count}")).collect();
    let mut facts: Vec<(&str, String)> = vec![
        ("Dynos", counts.join(", ")),
        ("Git URL", on.place.git_url(&app.name)),
        ("Owner", app.owner.email.clone()),
        ("Region", app.region.name.clone()),
        ("Repo Size", size(app.repo_size)),
        ("Slug Size", size(app.slug_size)),
        ("Stack", stack_shown(&app)),
        ("Web URL", app.web_url.clone().unwrap_or_default()),
    ];
    let others =
        collaborators.iter().map(|one| one.user.email.as_str()).filter(|email| *email != app.owner.email);
    let others: Vec<_> = others.collect();
    if !others.is_empty() {
        facts.insert(0, ("Collaborators", others.join(", ")));
    }
    if app.maintenance {
        facts.insert(0, ("Maintenance", "on".into()));
    }
    let facts: Vec<_> = facts.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    context.out.print(&(context.out.header(&context.out.app(&app.name)) + &pairs(&facts)))
}

fn stack_shown(app: &App) -> String {
    match app.stack.name == app.build_stack.name {
        true => app.stack.name.clone(),
        false => format!("{} (next build will use {})", app.stack.name, app.build_stack.name),
    }
}

fn for_shell(on: &OnApp, app: &App, dynos: &BTreeMap<&str, usize>) -> String {
    let dynos: Vec<_> = dynos.iter().map(|(process_type, count)| format!("{process_type}:{count}")).collect();
    [
        ("auto_cert_mgmt", app.acm.to_string()),
        ("git_url", on.place.git_url(&app.name)),
        ("web_url", app.web_url.clone().unwrap_or_default()),
        ("repo_size", shown_bytes(app.repo_size.unwrap_or(0))),
        ("slug_size", shown_bytes(app.slug_size.unwrap_or(0))),
        ("owner", app.owner.email.clone()),
        ("region", app.region.name.clone()),
        ("dynos", format!("{{ {} }}", dynos.join(", "))),
        ("stack", app.stack.name.clone()),
    ]
    .map(|(key, value)| format!("{key}={value}\n"))
    .concat()
}

/// `0 B`, `24 KB`, `31.5 MB`
fn shown_bytes(bytes: u64) -> String {
    const STEP: u64 = 1024;
    match bytes {
        0..STEP => format!("{bytes} B"),
        STEP..1_048_576 => format!("{} KB", bytes / STEP),
        _ => format!("{}.{} MB", bytes / 1_048_576, bytes % 1_048_576 * 10 / 1_048_576),
    }
}

pub(crate) fn open(context: &Context<'_>, args: &OpenArgs) -> Result<(), Failure> {
    let on = context.on_app(&args.app)?;
    let app: App = on.client.get(&on.path(""))?;
    let base = app.web_url.unwrap_or_default();
    let path = args.path.as_deref().unwrap_or("").trim_start_matches('/');
    let url = format!("{}/{path}", base.trim_end_matches('/'));
    let opener = ["xdg-open", "open"].into_iter().find(|name| context.env.program(name).is_some());
    let Some(opener) = opener else { return context.out.print(&format!("{url}\n")) };
    context.out.note(&format!("Opening {url}... "));
    let started = std::process::Command::new(opener)
        .arg(&url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    started.map_err(|cause| Failure::Program { program: opener.into(), cause })?;
    context.out.note("done\n");
    Ok(())
}

pub(crate) fn rename(context: &Context<'_>, args: &RenameArgs) -> Result<(), Failure> {
    let on = context.on_app(&args.app)?;
    let mine = remotes_of(&on);
    let progress =
        context.out.doing(&format!("Renaming {} to {}", on.app, context.out.app_doing(&args.name)));
    let asked = AppUpdate { name: Some(args.name.clone()), ..AppUpdate::default() };
    let app: App = on.client.patch(&on.path(""), &asked)?;
    progress.done();
    let url = on.place.git_url(&app.name);
    for remote in mine {
        git::set_remote(&remote, &url)?;
        context.out.note(&format!("Git remote {remote} updated\n"));
    }
    context.out.print(&format!("{} | {url}\n", app.web_url.unwrap_or_default()))
}

pub(crate) fn destroy(context: &Context<'_>, args: &DestroyArgs) -> Result<(), Failure> {
    let on = context.on_app(&args.app)?;
    let app: App = on.client.get(&on.path(""))?;
    let typed = match &args.confirm {
        Some(typed) => typed.clone(),
        None if std::io::stdin().is_terminal() => super::ask(
            context,
            &format!(
                "WARNING: This will delete {} including all add-ons.\nTo proceed, type {} or re-run this command with \
                 --confirm {}\n\n> ",
                app.name, app.name, app.name
            ),
        )?,
        None => String::new(),
    };
    if typed != app.name {
        return Err(Failure::NotConfirmed { app: app.name, typed });
    }
    let progress = context
        .out
        .doing(&format!("Destroying {} (including all add-ons)", context.out.app_doing(&app.name)));
    on.client.act(Method::DELETE, &on.path(""))?;
    progress.done();
    remotes_of(&on).iter().try_for_each(|remote| git::remove_remote(remote))
}

/// Names of the remotes of this folder that belong to the app.
fn remotes_of(on: &OnApp) -> Vec<String> {
    let remotes = git::remotes().into_iter();
    remotes
        .filter(|remote| git::app_of(&remote.url, &on.place).as_ref() == Some(&on.app))
        .map(|remote| remote.name)
        .collect()
}

pub(crate) fn maintenance(context: &Context<'_>, args: &MaintenanceArgs) -> Result<(), Failure> {
    let on = context.on_app(&args.app)?;
    let app: App = on.client.get(&on.path(""))?;
    context.out.print(if app.maintenance { "on\n" } else { "off\n" })
}

pub(crate) fn maintenance_set(
    context: &Context<'_>,
    args: &MaintenanceArgs,
    wanted: bool,
) -> Result<(), Failure> {
    let on = context.on_app(&args.app)?;
    let verb = if wanted { "Enabling" } else { "Disabling" };
    let progress =
        context.out.doing(&format!("{verb} maintenance mode for {}", context.out.app_doing(&on.app)));
    let asked = AppUpdate { maintenance: Some(wanted), ..AppUpdate::default() };
    on.client.patch::<App>(&on.path(""), &asked)?;
    progress.done();
    Ok(())
}

pub(crate) fn domains(context: &Context<'_>, args: &DomainsArgs) -> Result<(), Failure> {
    let on = context.on_app(&args.app)?;
    let domains: Vec<Domain> = on.client.list(&on.path("/domains"))?;
    let out = context.out;
    if args.json {
        return out.json(&domains);
    }
    let (own, custom): (Vec<_>, Vec<_>) = domains.iter().partition(|domain| domain.kind == "heroku");
    let mut text = out.header(&format!("{} Heroku Domain", out.app(&on.app)));
    own.iter().for_each(|domain| text += &format!("{}\n", domain.hostname));
    if !custom.is_empty() {
        text += "\n";
        text += &out.header(&format!("{} Custom Domains", out.app(&on.app)));
        let mut rows =
            vec![["Domain Name", "DNS Target", "Status"].map(|title| out.paint(Paint::Bold, title)).to_vec()];
        let row = |domain: &&Domain| {
            vec![domain.hostname.clone(), domain.cname.clone().unwrap_or_default(), domain.status.clone()]
        };
        rows.extend(custom.iter().map(row));
        text += &table(&rows);
    }
    out.print(&text)
}

pub(crate) fn domains_clear(context: &Context<'_>, args: &DomainsClearArgs) -> Result<(), Failure> {
    let on = context.on_app(&args.app)?;
    let progress =
        context.out.doing(&format!("Removing all domains from {}", context.out.app_doing(&on.app)));
    let domains: Vec<Domain> = on.client.list(&on.path("/domains"))?;
    for domain in domains.iter().filter(|domain| domain.kind == "custom") {
        on.client.act(Method::DELETE, &on.path(&format!("/domains/{}", segment(&domain.hostname))))?;
    }
    progress.done();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_in_the_unit_that_fits() {
        let shown = [0, 1_023, 1_024, 1_048_575, 1_048_576, 33_030_144].map(shown_bytes);
        assert_eq!(shown, ["0 B", "1023 B", "1 KB", "1023 KB", "1.0 MB", "31.5 MB"]);
    }
}
