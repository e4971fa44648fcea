//! Every limit that is part of what words mean, with its unit and its source.
//! "Heroku" = Heroku's published figure; "ours" = chosen here because nothing is published.

use std::time::Duration;

/// Characters of an app name (Heroku's schema pattern).
pub const APP_NAME_BYTES_MIN: usize = 3;
pub const APP_NAME_BYTES_MAX: usize = 30;
/// Characters of a process type (Heroku's schema pattern).
pub const PROCESS_TYPE_BYTES_MAX: usize = 128;
/// Characters of a stack name (ours).
pub const STACK_NAME_BYTES_MAX: usize = 40;
/// Characters of a config var's name (ours).
pub const CONFIG_KEY_BYTES_MAX: usize = 256;
/// All keys and values of an app's config vars together (Heroku: 64 KB).
pub const CONFIG_BYTES_MAX: usize = 64 * 1024;
/// A command of a one-off dyno, in bytes (ours; the kernel's limit for one argument is 128 KiB).
pub const COMMAND_BYTES_MAX: usize = 64 * 1024;

/// An e-mail address (RFC 5321's path, less its brackets).
pub const EMAIL_BYTES_MAX: usize = 254;
/// Collaborators of one app (ours).
pub const COLLABORATORS_PER_APP_MAX: usize = 500;
/// Transfers of apps that one account waits for an answer to (ours).
pub const APP_TRANSFERS_PENDING_MAX: usize = 1_000;
/// Members of a team (ours; Heroku: 25, or 500 of an enterprise's).
pub const MEMBERS_PER_TEAM_MAX: usize = 500;
/// Teams that one account may make (ours).
pub const TEAMS_PER_ACCOUNT_MAX: usize = 100;
/// Apps of one account, and of one team (ours; Heroku: 100).
pub const APPS_PER_OWNER_MAX: usize = 1_000;
/// Characters of a team's name (ours; it is the name of an e-mail address).
pub const TEAM_NAME_BYTES_MAX: usize = 60;

/// Dynos of one process type, and of an app in all (Heroku: 100 per app).
pub const DYNOS_PER_APP_MAX: u32 = 100;
/// One-off dynos of an app at one time (Heroku: 50 for basic and standard).
pub const ONE_OFFS_PER_APP_MAX: usize = 50;

/// Time from a web dyno's start until `$PORT` answers (Heroku, R10).
pub const BOOT_TIMEOUT: Duration = Duration::from_secs(60);
/// An eco app without web traffic for this long falls asleep (Heroku).
pub const SLEEP_AFTER: Duration = Duration::from_secs(30 * 60);
/// The web dynos of an app that fell asleep are frozen for so long, then stopped (ours).
pub const FREEZE_FOR: Duration = Duration::from_secs(10 * 60);
/// A dyno is replaced after this long, and up to 15 % later (Heroku: 24 h and 0 to 216 minutes).
pub const CYCLE_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// Time between SIGTERM and SIGKILL (Heroku, R12).
pub const STOP_GRACE: Duration = Duration::from_secs(30);
/// How long the router's requests to a leaving dyno may go on before its SIGTERM (ours).
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// A build (Heroku: 15 minutes).
pub const BUILD_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// A release command (Heroku: 1 hour).
pub const RELEASE_PHASE_TIMEOUT: Duration = Duration::from_secs(60 * 60);
/// An attached dyno waits this long for its client (Heroku: about 30 s, R13).
pub const ATTACH_TIMEOUT: Duration = Duration::from_secs(30);
/// An attached session without traffic in either direction (Heroku: 1 hour).
pub const ATTACH_IDLE_TIMEOUT: Duration = Duration::from_secs(60 * 60);
/// When the client of an attached dyno has gone, all its processes get SIGHUP so often (Heroku: 5 s) ...
pub const HANGUP_INTERVAL: Duration = Duration::from_secs(5);
/// ... for so long; what is alive then may go on (Heroku: about 15 s, R16).
pub const HANGUP_TIMEOUT: Duration = Duration::from_secs(15);

/// Slug size: hard limit and warning (Heroku: 500 MB, 300 MB).
pub const SLUG_BYTES_MAX: u64 = 500 * 1024 * 1024;
pub const SLUG_BYTES_WARN: u64 = 300 * 1024 * 1024;
/// Slugs of an app that were said but are not past their day (ours).
pub const SLUG_UPLOADS_PER_APP_MAX: usize = 200;
/// The unpacked source of a build (Heroku: 1 GB).
pub const SOURCE_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// A build's or a release command's output that is kept (Heroku: 300 MB).
pub const OUTPUT_BYTES_MAX: u64 = 300 * 1024 * 1024;

/// Lines of log kept per app (Heroku: 1,500), and what one session gives by default (Heroku: 100).
pub const LOG_LINES_KEPT: usize = 1_500;
pub const LOG_LINES_DEFAULT: usize = 100;
/// A log line; longer ones are cut into entries of this size (Heroku: 10,000 bytes).
pub const LOG_LINE_BYTES_MAX: usize = 10_000;

/// A JSON body of the API, in bytes (ours: config vars at their limit, quoted at worst).
pub const API_BODY_BYTES_MAX: usize = 1024 * 1024;
/// What the router holds a request for while no dyno is up (Heroku, H20).
pub const ROUTER_HOLD: Duration = Duration::from_secs(75);
/// First byte of a response (Heroku, H12), and the rolling idle window after it (Heroku, H15 and H28).
pub const ROUTER_FIRST_BYTE: Duration = Duration::from_secs(30);
pub const ROUTER_IDLE: Duration = Duration::from_secs(55);
/// TCP connect to a dyno (Heroku, H19).
pub const ROUTER_CONNECT: Duration = Duration::from_secs(5);

/// OCI images that are known of an app (ours).
pub const OCI_IMAGES_PER_APP_MAX: usize = 1_000;

/// Custom domains of an app (Heroku: 1,000), and certificates (ours).
pub const DOMAINS_PER_APP_MAX: usize = 1_000;
pub const SNI_ENDPOINTS_PER_APP_MAX: usize = 100;
/// A certificate chain, and a private key, as PEM (ours).
pub const CERTIFICATE_CHAIN_BYTES_MAX: usize = 64 * 1024;
pub const PRIVATE_KEY_BYTES_MAX: usize = 16 * 1024;
/// Certificates of a chain (ours).
pub const CERTIFICATE_CHAIN_MAX: usize = 10;
