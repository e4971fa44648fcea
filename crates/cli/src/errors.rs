//! Every word that a user reads when something fails: what happened, why, and what to do next.

use std::{io, path::PathBuf, process::ExitCode};

use renga_wire::ErrorBody;

/// A refusal of the API; the official command line ends with the same code.
const EXIT_API: u8 = 2;
/// sysexits.h, EX_USAGE: what was typed can't be meant.
const EXIT_USAGE: u8 = 64;
/// As shells have it.
const EXIT_CANNOT_EXECUTE: u8 = 126;
const EXIT_NOT_FOUND: u8 = 127;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    // === the platform ===
    #[error("no platform is running with the data directory {}", data_dir.display())]
    NoPlatform {
        data_dir: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("could not understand {}", file.display())]
    Endpoints {
        file: PathBuf,
        #[source]
        cause: serde_json::Error,
    },
    #[error("RENGA_URL is no URL of a platform: {url:?}")]
    NoUrl { url: String },
    #[error("HEROKU_HOST names Heroku itself, not a platform of your own")]
    HerokuItself,
    #[error("could not prepare the trusted certificates in {}", file.display())]
    TrustBundle {
        file: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("the environment names no home directory")]
    NoHome,
    #[error("could not use {}", file.display())]
    Netrc {
        file: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("cannot log in with HEROKU_API_KEY set")]
    LoginWithKey,
    #[error("the e-mail address or the password is wrong")]
    WrongPassword,
    #[error("the platform gave no token")]
    NoTokenGiven,
    #[error("the certificate of {url} is signed by a CA that is not trusted")]
    UnknownCa { url: String, found: String, expected: Option<String> },
    #[error("could not listen on local port {port}")]
    LocalPort {
        port: u16,
        #[source]
        cause: io::Error,
    },
    #[error("the token for the platform at {url} is not known")]
    TokenNeeded { url: String, port: u16 },
    #[error("could not use the token in {}", file.display())]
    TokenFile {
        file: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("{variable} names no proxy that https requests could be handed on to")]
    SiteProxy { variable: &'static str },
    #[error("you are not signed in to the platform at {api}")]
    NoToken { api: String },
    #[error("could not reach the platform at {api}")]
    Unreachable { api: String, cause: String },
    // === programs and files of this machine ===
    #[error("could not run {program}")]
    Program {
        program: String,
        #[source]
        cause: io::Error,
    },
    #[error("could not {doing}")]
    Local {
        doing: String,
        #[source]
        cause: io::Error,
    },
    #[error("git {doing} failed: {stderr}")]
    Git { doing: String, stderr: String },
    #[error("this folder is no git repository")]
    NoRepository,
    #[error("the editor {editor} ended with an error; nothing was changed")]
    Editor { editor: String },
    #[error("could not read the Procfile {}", file.display())]
    Procfile {
        file: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("could not read the environment file {}", file.display())]
    EnvFile {
        file: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("line {line} of {} is no KEY=value", file.display())]
    EnvLine { file: PathBuf, line: usize },
    // === what was asked for ===
    #[error("{0}")]
    Usage(String),
    #[error("missing required flag: --app")]
    NoApp,
    #[error("several apps belong to this folder: {}", remotes.join(", "))]
    ManyApps { remotes: Vec<String> },
    #[error("remote {remote} of this folder is no app of this platform")]
    NoSuchRemote { remote: String },
    #[error("confirmation {typed:?} did not match {app}; nothing was done")]
    NotConfirmed { app: String, typed: String },
    #[error("the config vars of ⬢ {app} were changed by somebody else meanwhile; nothing was changed")]
    ConfigMoved { app: String },
    #[error("no release of ⬢ {app} found to go to")]
    NoEarlierRelease { app: String },
    #[error("no process types on ⬢ {app}")]
    NoProcessTypes { app: String },
    #[error("buildpack {buildpack} is not set on your app")]
    NoSuchBuildpack { buildpack: String },
    // === dynos and logs ===
    #[error("could not attach to {dyno}")]
    NotAttached {
        dyno: String,
        #[source]
        cause: io::Error,
    },
    #[error("could not attach to {dyno}: the certificate of {host} is signed by a CA that is not trusted")]
    RendezvousCa { dyno: String, host: String },
    #[error("the platform gave no rendezvous for {dyno}")]
    NoRendezvous { dyno: String },
    #[error("{dyno} was stopped, or the connection to it broke, before its command told an exit code")]
    DynoLost { dyno: String },
    #[error("the log ended (HTTP {status})")]
    LogsEnded { status: u16 },
    // === answers of the API ===
    #[error("{}", body.message)]
    Refused { status: u16, body: ErrorBody },
    #[error("{method} {path} was answered with HTTP {status} and no explanation")]
    Garbled { method: String, path: String, status: u16, excerpt: String },
    /// Whoever read our output has stopped reading: nothing to say, and nobody to say it to.
    #[error("the reader of the output has gone")]
    ReaderGone,
    /// A process that we ran for the user ended so; it has said why itself.
    #[error("the process exited with code {0}")]
    Exited(u8),
}

impl Failure {
    /// The platform wants the code of a second factor beside the password.
    pub(crate) fn asks_for_code(&self) -> bool {
        matches!(self, Self::Refused { status: 403, body } if body.id == "two_factor")
    }
    pub(crate) fn local(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |cause| Self::Local { doing, cause }
    }

    /// What to do next, where we know it.
    fn advice(&self) -> Option<String> {
        self.advice_on_place().or_else(|| self.advice_on_work())
    }

    /// Where the platform is, and as whom to come there.
    fn advice_on_place(&self) -> Option<String> {
        Some(match self {
            Self::NoPlatform { cause, .. } if cause.kind() == io::ErrorKind::PermissionDenied => {
                "You may not read its endpoints.json. Use the account that runs the platform, or HEROKU_HOST."
                    .into()
            }
            Self::NoPlatform { .. } => {
                "Start one with `renga up`, or say which one is meant: --data-dir DIR, RENGA_DATA_DIR, or \
                 RENGA_URL and RENGA_API_KEY (or `renga connect URL`) for a platform on another machine."
                    .into()
            }
            Self::NoUrl { .. } => "Give its address alone: https://HOST or https://HOST:PORT.".into(),
            Self::HerokuItself => "Unset it, or name your platform with --data-dir DIR.".into(),
            Self::NoToken { .. } => {
                "Sign in with `renga login`, set RENGA_API_KEY beside RENGA_URL, or run this as the user who may read the \
                 platform's token file."
                    .into()
            }
            Self::RendezvousCa { .. } => {
                "If that is your platform's own CA, RENGA_CA=FILE names a copy of it (DATA_DIR/run/ca.pem there)."
                    .into()
            }
            Self::Unreachable { cause, .. } if cause.contains("UnknownIssuer") => {
                "Its certificate is signed by a CA that this machine does not know. RENGA_CA=FILE names the platform's \
                 (DATA_DIR/run/ca.pem there); `renga connect URL` pins it by its fingerprint."
                    .into()
            }
            Self::Unreachable { cause, .. } => format!("{cause}. Is it running? `renga up` starts it."),
            _ => return None,
        })
    }

    fn advice_on_work(&self) -> Option<String> {
        Some(match self {
            Self::Program { program, cause } if cause.kind() == io::ErrorKind::NotFound => {
                format!("There is no program called {program} in your PATH.")
            }
            Self::Refused { status: 401, .. } => {
                "The token is not valid here. Sign in again with `renga login`.".into()
            }
            Self::NoHome => "Set HOME.".into(),
            Self::LoginWithKey => "Unset it, or go on without logging in: the key is used as it is.".into(),
            Self::WrongPassword => {
                "The first account and its password are in the platform's data directory: secrets/admin-password.".into()
            }
            Self::UnknownCa { found, expected: None, .. } => format!(
                "Its fingerprint is\n  {found}\nIf that is what the platform's operator tells you (openssl x509 -noout \
                 -fingerprint -sha256 -in DATA_DIR/run/ca.pem),\nrepeat this with --fingerprint {found}"
            ),
            Self::UnknownCa { found, expected: Some(expected), .. } => {
                format!("Expected {expected}\nFound    {found}\nSomebody may be listening in: nothing was sent.")
            }
            Self::TokenNeeded { url, port } => format!(
                "Sign in through the forwarder first:\n  renga connect {url} --port {port} --fingerprint SHA256 -- renga login\nor name a \
                 file that holds the token: --token-file FILE.\nWithout one the official command line would send the token \
                 that it keeps for Heroku itself."
            ),
            Self::SiteProxy { .. } => {
                "It must be http://HOST:PORT (HTTPS and SOCKS proxies are not supported). Unset it to go directly.".into()
            }
            Self::LocalPort { .. } => "Choose another one with --port.".into(),
            Self::NoRepository => "Go to the top folder of your app, or make it a repository with `git init`.".into(),
            Self::Procfile { .. } => {
                "Write one that says how your app starts, for example:\n  web: python app.py".into()
            }
            Self::EnvFile { .. } => "Name another one with --env FILE.".into(),
            Self::ConfigMoved { .. } => "Run the command again: it starts from what is set now.".into(),
            Self::NoProcessTypes { .. } => {
                "Process types come with the first deploy: git push heroku main".into()
            }
            Self::NoSuchBuildpack { .. } => "`renga buildpacks` shows the list.".into(),
            Self::DynoLost { .. } => "`renga logs` may tell why.".into(),
            Self::LogsEnded { .. } => "Log stream timed out. Please try again.".into(),
            Self::NoApp => {
                "Name it with --app APP or HEROKU_APP, or work in a folder that has a git remote of it: \
                 `renga git:remote --app APP` adds one."
                    .into()
            }
            Self::ManyApps { .. } => {
                "Say which one is meant: --app APP or --remote REMOTE. `git config heroku.remote REMOTE` makes one the \
                 usual one."
                    .into()
            }
            Self::NoSuchRemote { .. } => "`git remote -v` shows the remotes of this folder.".into(),
            Self::NotConfirmed { app, .. } => format!("To do it without being asked: --confirm {app}"),
            Self::Garbled { excerpt, .. } if !excerpt.is_empty() => excerpt.clone(),
            _ => return None,
        })
    }

    /// As it is printed: lines behind a mark, as Heroku's users know it.
    pub(crate) fn text(&self) -> Option<String> {
        let mut lines = vec![format!("Error: {}", capitalised(&self.to_string()))];
        if matches!(self, Self::Exited(_) | Self::ReaderGone) {
            return None;
        }
        let causes = std::iter::successors(std::error::Error::source(self), |cause| cause.source());
        lines.extend(causes.map(|cause| format!("Reason: {cause}")));
        if let Self::Refused { body, .. } = self {
            lines.push(String::new());
            lines.push(format!("Error ID: {}", body.id));
            lines.extend(body.url.iter().map(|url| format!("See {url} for more information.")));
        }
        lines.extend(self.advice());
        let marked = lines
            .iter()
            .flat_map(|line| line.split('\n'))
            .map(|line| format!(" ›   {line}").trim_end().to_owned());
        Some(marked.collect::<Vec<_>>().join("\n") + "\n")
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Exited(code) => *code,
            Self::ReaderGone => 0,
            Self::Refused { .. } | Self::WrongPassword => EXIT_API,
            Self::Usage(_) => EXIT_USAGE,
            Self::Program { cause, .. } if cause.kind() == io::ErrorKind::NotFound => EXIT_NOT_FOUND,
            Self::Program { .. } => EXIT_CANNOT_EXECUTE,
            _ => 1,
        })
    }
}

fn is_word(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphabetic())
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        // Names stay as they are: `git`, `run.1`.
        Some(first) if !text.starts_with("git ") && text.split(' ').next().is_some_and(is_word) => {
            first.to_uppercase().chain(characters).collect()
        }
        _ => text.to_owned(),
    }
}
