//! Signing in and out: a token for an e-mail address and a password, kept in `~/.netrc`.

use std::{
    io::{self, IsTerminal as _},
    path::PathBuf,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use renga_wire::{Account, Authorization, AuthorizationCreate, NumberText};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::{
    context::{Context, Platform},
    errors::Failure,
    netrc::Netrc,
    platform::PlaceArgs,
};

/// Thirty days, as the official command line asks for.
const EXPIRES_IN_S: i64 = 30 * 24 * 60 * 60;

/// `login`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga login\n  renga login --email admin@localhost < password-file\n\n\
                        Without a terminal the password is the first line of the standard input.")]
pub struct LoginArgs {
    /// Your e-mail address; asked for if left out
    #[arg(long)]
    pub email: Option<String>,
    /// Seconds until the token expires
    #[arg(short, long, default_value_t = EXPIRES_IN_S, value_name = "SECONDS")]
    pub expires_in: i64,
    /// Accepted for the sake of habit: there is no other way here
    #[arg(short, long, hide = true)]
    pub interactive: bool,
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// `logout`, `auth:whoami`, `auth:token`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga auth:whoami\n  renga auth:token\n  renga logout")]
pub struct SessionArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
}

pub(crate) fn login(context: &Context<'_>, args: &LoginArgs) -> Result<(), Failure> {
    if context.env.get("HEROKU_API_KEY").is_some() {
        return Err(Failure::LoginWithKey);
    }
    let on = context.platform(&args.place)?;
    let path = netrc_path(context)?;
    context.out.note(&format!("Enter your login credentials for {}\n", on.place.api));
    let email = match &args.email {
        Some(email) => email.clone(),
        None => super::ask(context, "Email: ")?,
    };
    let password = password(context)?;
    let host = rustix::system::uname();
    let asked = AuthorizationCreate {
        description: Some(format!("Renga CLI login from {}", host.nodename().to_string_lossy())),
        expires_in: Some(NumberText::Number(args.expires_in)),
        scope: Some(vec!["global".into()]),
        ..AuthorizationCreate::default()
    };
    let basic = format!("Basic {}", STANDARD.encode(format!("{email}:{password}")));
    let log_in = |code: Option<&str>| -> Result<Authorization, Failure> {
        on.client.post_as("/oauth/authorizations", &basic, code, &asked).map_err(|failure| match failure {
            Failure::Refused { status: 401, .. } => Failure::WrongPassword,
            other => other,
        })
    };
    let made = match log_in(None) {
        Err(failure) if failure.asks_for_code() => log_in(Some(&super::ask(context, "Two-factor code: ")?))?,
        other => other?,
    };
    let token = made.access_token.ok_or(Failure::NoTokenGiven)?.token;
    let failed = |cause| Failure::Netrc { file: path.clone(), cause };
    let mut netrc = Netrc::read(&path).map_err(failed)?;
    netrc.set(on.place.machine(), &made.user.email, &token);
    netrc.write(&path).map_err(failed)?;
    context.out.note(&format!("Logged in as {}\n", made.user.email));
    if on.place.token.is_some() && on.place.data_dir.is_some() {
        context.out.note("This user may read the platform's own token, which renga goes on using here.\n");
    }
    Ok(())
}

pub(crate) fn logout(context: &Context<'_>, args: &SessionArgs) -> Result<(), Failure> {
    let on = context.platform(&args.place)?;
    let path = netrc_path(context)?;
    let failed = |cause| Failure::Netrc { file: path.clone(), cause };
    let mut netrc = Netrc::read(&path).map_err(failed)?;
    if !netrc.remove(on.place.machine()) {
        context.out.note("You were not logged in.\n");
        return Ok(());
    }
    netrc.write(&path).map_err(failed)?;
    context.out.note("Local credentials cleared\n");
    Ok(())
}

pub(crate) fn whoami(context: &Context<'_>, args: &SessionArgs) -> Result<(), Failure> {
    let on = context.platform(&args.place)?;
    let account: Account = on.client.get("/account")?;
    context.out.print(&format!("{}\n", account.email))
}

pub(crate) fn token(context: &Context<'_>, args: &SessionArgs) -> Result<(), Failure> {
    let Platform { place, .. } = context.platform(&args.place)?;
    match &place.token {
        Some(token) => context.out.print(&format!("{}\n", token.expose())),
        None => Err(Failure::NoToken { api: place.api }),
    }
}

fn netrc_path(context: &Context<'_>) -> Result<PathBuf, Failure> {
    Netrc::path(context.env).ok_or(Failure::NoHome)
}

/// Nothing is shown while it is typed, and the terminal is as before whatever happens.
pub(super) fn password(context: &Context<'_>) -> Result<String, Failure> {
    let _echo_is_off = io::stdin().is_terminal().then(Hidden::new).flatten();
    let typed = super::ask(context, "Password: ")?;
    context.out.note("\n");
    Ok(typed)
}

struct Hidden(Termios);

impl Hidden {
    fn new() -> Option<Self> {
        let before = tcgetattr(rustix::stdio::stdin()).ok()?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(rustix::stdio::stdin(), OptionalActions::Flush, &hidden).ok()?;
        Some(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // The terminal may be gone; there is nobody to tell then.
        tcsetattr(rustix::stdio::stdin(), OptionalActions::Flush, &self.0).ok();
    }
}
