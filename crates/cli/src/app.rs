//! Which app a command is about: `--app`, `--remote`, `HEROKU_APP`, or the one remote of the current folder.

use crate::{
    errors::Failure,
    git::{self, Remote, app_of},
    platform::{Place, PlaceArgs},
};

#[derive(Debug, Clone, Default, clap::Args)]
pub struct AppArgs {
    /// App to run the command on
    #[arg(short, long, value_name = "APP")]
    pub app: Option<String>,
    /// Git remote of the app to run the command on
    #[arg(short, long, value_name = "REMOTE")]
    pub remote: Option<String>,
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// `named` is what `HEROKU_APP` holds. The repository is looked at only if it must be.
pub(crate) fn find(args: &AppArgs, named: Option<&str>, place: &Place) -> Result<String, Failure> {
    if let Some(app) = &args.app {
        return Ok(app.clone());
    }
    if let (None, Some(app)) = (&args.remote, named) {
        return Ok(app.to_owned());
    }
    of_remotes(&git::remotes(), args.remote.as_deref(), git::remote_of_config, place)
}

fn of_remotes(
    remotes: &[Remote],
    wanted: Option<&str>,
    preferred: impl Fn() -> Option<String>,
    place: &Place,
) -> Result<String, Failure> {
    let found: Vec<(&str, String)> = remotes
        .iter()
        .filter_map(|remote| Some((remote.name.as_str(), app_of(&remote.url, place)?)))
        .collect();
    let by_name = |name: &str| found.iter().find(|(remote, _)| *remote == name).map(|(_, app)| app.clone());
    if let Some(wanted) = wanted {
        return by_name(wanted).ok_or_else(|| Failure::NoSuchRemote { remote: wanted.to_owned() });
    }
    match found.as_slice() {
        [] => Err(Failure::NoApp),
        [(_, app)] => Ok(app.clone()),
        [(_, first), rest @ ..] if rest.iter().all(|(_, app)| app == first) => Ok(first.clone()),
        _ => preferred().and_then(|name| by_name(&name)).ok_or_else(|| Failure::ManyApps {
            remotes: found.iter().map(|(remote, app)| format!("{app} ({remote})")).collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(remotes: &[(&str, &str)], wanted: Option<&str>, preferred: Option<&str>) -> String {
        let place = Place {
            api: "http://localhost:4000".into(),
            git_host: "localhost:4443".into(),
            git_host_aliases: Vec::new(),
            ca: None,
            data_dir: None,
            token: None,
        };
        let remotes: Vec<_> =
            remotes.iter().map(|(name, url)| Remote { name: (*name).into(), url: (*url).into() }).collect();
        match of_remotes(&remotes, wanted, || preferred.map(str::to_owned), &place) {
            Ok(app) => app,
            Err(failure) => format!("Error: {failure}"),
        }
    }

    const A: (&str, &str) = ("heroku", "https://localhost:4443/a.git");
    const B: (&str, &str) = ("staging", "https://localhost:4443/b.git");
    const GITHUB: (&str, &str) = ("origin", "https://github.com/x/a.git");

    #[test]
    fn one_remote_is_enough_and_two_are_too_many() {
        assert_eq!(check(&[GITHUB, A], None, None), "a");
        assert_eq!(check(&[A, ("again", A.1)], None, None), "a");
        assert_eq!(check(&[A, B], Some("staging"), None), "b");
        assert_eq!(check(&[A, B], None, Some("staging")), "b");
        assert!(check(&[A, B], None, None).starts_with("Error: several apps"));
        assert!(check(&[GITHUB], None, None).starts_with("Error: missing required flag"));
        assert!(check(&[A], Some("origin"), None).starts_with("Error: remote origin"));
    }

    #[test]
    fn what_is_typed_wins_over_the_environment() {
        let place =
            Place::find(&PlaceArgs::default(), &[("HEROKU_HOST", "http://localhost:1")].into()).unwrap();
        let typed = AppArgs { app: Some("typed".into()), ..AppArgs::default() };
        assert_eq!(find(&typed, Some("named"), &place).unwrap(), "typed");
        assert_eq!(find(&AppArgs::default(), Some("named"), &place).unwrap(), "named");
    }
}
