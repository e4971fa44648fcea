//! `git:*`: remotes, clones, and the token for git itself.

use std::{
    io::{self, BufRead as _, Read as _},
    path::Path,
};

use renga_wire::App;

use crate::{
    app::AppArgs,
    context::Context,
    errors::Failure,
    git,
    platform::{Exports, Place, PlaceArgs},
};

/// What git may say to its helper.
const REQUEST_BYTES_MAX: u64 = 64 * 1024;

/// `git:remote`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  renga git:remote -a times\n  renga git:remote -a times-staging --remote staging"
)]
pub struct RemoteArgs {
    /// App that the remote is for
    #[arg(short, long, value_name = "APP")]
    pub app: Option<String>,
    /// Name of the remote
    #[arg(short, long)]
    pub remote: Option<String>,
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// `git:clone`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga git:clone -a times\n  renga git:clone -a times folder")]
pub struct CloneArgs {
    /// Where to put it; the app's name if left out
    #[arg(value_name = "FOLDER")]
    pub folder: Option<String>,
    /// App to clone
    #[arg(short, long, value_name = "APP")]
    pub app: String,
    /// Name of the remote
    #[arg(short, long, default_value = "heroku")]
    pub remote: String,
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// `git:credentials`, called by git
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  printf 'protocol=https\\nhost=localhost:4443\\n' | renga git:credentials get"
)]
pub struct CredentialsArgs {
    /// What git wants: get, store or erase
    pub operation: String,
    #[command(flatten)]
    pub place: PlaceArgs,
}

pub(crate) fn remote(context: &Context<'_>, args: &RemoteArgs) -> Result<(), Failure> {
    if !git::is_repository() {
        return Err(Failure::NoRepository);
    }
    let app = AppArgs { app: args.app.clone(), remote: None, place: args.place.clone() };
    let on = context.on_app(&app)?;
    let app: App = on.client.get(&on.path(""))?;
    let name = args.remote.clone().or_else(git::remote_of_config).unwrap_or_else(|| "heroku".into());
    git::set_remote(&name, &on.place.git_url(&app.name))?;
    super::trust_repository(context, &on.place)?;
    context.out.print(&format!("set git remote {name} to {}\n", on.place.git_url(&app.name)))
}

pub(crate) fn clone(context: &Context<'_>, args: &CloneArgs) -> Result<(), Failure> {
    let on = context.platform(&args.place)?;
    let folder = args.folder.as_deref().unwrap_or(&args.app);
    let exports = Exports::new(&on.place, on.place.token.as_ref(), &super::own_path(), context.env)?;
    git::clone(&on.place.git_url(&args.app), folder, &args.remote, exports)?;
    let kept =
        std::env::set_current_dir(Path::new(folder)).map_err(Failure::local(format!("enter {folder}")));
    kept.and_then(|()| super::trust_repository(context, &on.place))
}

/// Answers for this platform's git host only; anything else is none of our business.
pub(crate) fn credentials(context: &Context<'_>, args: &CredentialsArgs) -> Result<(), Failure> {
    if args.operation != "get" {
        return Ok(());
    }
    let place = Place::find(&args.place, context.env)?;
    match answer(io::stdin().lock().take(REQUEST_BYTES_MAX), &place) {
        Some(text) => context.out.print(&text),
        None => Ok(()),
    }
}

fn answer(request: impl io::Read, place: &Place) -> Option<String> {
    let (mut protocol, mut host) = (String::new(), String::new());
    for line in io::BufReader::new(request).lines().map_while(Result::ok).take_while(|line| !line.is_empty())
    {
        match line.split_once('=') {
            Some(("protocol", value)) => value.clone_into(&mut protocol),
            Some(("host", value)) => value.clone_into(&mut host),
            _ => {}
        }
    }
    let token = place.token.as_ref()?;
    let ours = protocol == "https" && place.git_hosts().any(|known| known == host);
    ours.then(|| format!("protocol=https\nhost={host}\nusername=heroku\npassword={}\n", token.expose()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use renga_model::Secret;

    #[test]
    fn the_token_is_told_for_this_platform_only() {
        let place = Place {
            api: "http://localhost:4000".into(),
            git_host: "localhost:4443".into(),
            git_host_aliases: vec!["git.paas.example".into()],
            ca: None,
            data_dir: None,
            token: Some(Secret::new("T")),
        };
        let asked = |text: &str| answer(text.as_bytes(), &place);
        assert_eq!(
            asked("protocol=https\nhost=localhost:4443\nwwwauth[]=Basic\n\n").as_deref(),
            Some("protocol=https\nhost=localhost:4443\nusername=heroku\npassword=T\n")
        );
        assert!(asked("protocol=https\nhost=git.paas.example\n").is_some());
        assert_eq!(asked("protocol=http\nhost=localhost:4443\n"), None);
        assert_eq!(asked("protocol=https\nhost=github.com\n"), None);
        assert_eq!(asked(""), None);
    }
}
