//! `connect`: asks who is there, writes down its CA, prints the exports, forwards.

use std::{
    ffi::OsString,
    fs, io,
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    process::Command,
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::{ClientConfig, ClientConnection, pki_types::CertificateDer};

use super::{
    forward::{self, Target},
    pin::{Fingerprint, Trust, Verifier},
};
use crate::{
    commands::own_path,
    context::Context,
    errors::Failure,
    netrc::Netrc,
    platform::{Exports, Place, authority},
    tls,
};

const HTTPS_PORT: u16 = 443;

/// `connect`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga connect https://paas.example:4443 --fingerprint 5A:1F:...\n  \
                        renga connect https://paas.example:4443 --fingerprint 5A:1F:... -- heroku apps\n\n\
                        Without a command the variables are printed for other terminals, and Ctrl-C ends the connection.\n\
                        The fingerprint is told, on the platform's machine, by:\n  \
                        openssl x509 -noout -fingerprint -sha256 -in /var/lib/renga/run/ca.pem")]
pub struct ConnectArgs {
    /// The platform's address: https://HOST:PORT
    pub url: String,
    /// SHA-256 fingerprint of its CA
    #[arg(long, value_name = "SHA256")]
    pub fingerprint: Option<Fingerprint>,
    /// Local port; one that stays the same keeps a sign-in
    #[arg(short, long, default_value_t = 4010)]
    pub port: u16,
    /// Print the variables for the fish shell
    #[arg(long)]
    pub fish: bool,
    /// A command to run instead, until it ends
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

pub(crate) fn connect(context: &Context<'_>, args: &ConnectArgs) -> Result<(), Failure> {
    let remote = args.url.strip_prefix("https://").map(authority).unwrap_or_default();
    let wrong =
        || Failure::Usage(format!("{} is no address of a platform; write https://HOST:PORT", args.url));
    let (host, port) = tls::split_authority(remote, HTTPS_PORT).ok_or_else(wrong)?;
    let config = config(args.fingerprint)?;
    let ca = match shake_hands(&host, port, &config) {
        Ok(connection) => args.fingerprint.and_then(|pinned| certificate(&connection, pinned)),
        Err(failed) => return Err(explain(&host, port, args, failed)),
    };
    let ca = ca.map(|ca| write_down(context, remote, &ca)).transpose()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port));
    let listener = listener.map_err(|cause| Failure::LocalPort { port: args.port, cause })?;
    let port_here = listener.local_addr().map_err(Failure::local("listen"))?.port();
    let exports = exports(context, remote, port_here, ca)?;
    let target = Arc::new(Target { host, port, authority: remote.to_owned(), config });
    match args.command.split_first() {
        None => {
            context.out.print(&if args.fish { exports.for_fish() } else { exports.for_sh() })?;
            context.out.note(&format!("Connected to {remote}. Ctrl-C ends it.\n"));
            forward::serve(&listener, &target);
            Ok(())
        }
        Some((program, rest)) => {
            std::thread::spawn(move || forward::serve(&listener, &target));
            run(program, rest, &exports)
        }
    }
}

fn run(program: &OsString, rest: &[OsString], exports: &Exports) -> Result<(), Failure> {
    let mut command = Command::new(program);
    command.args(rest).envs(exports.set.iter().map(|(name, value)| (name, value)));
    for name in &exports.unset {
        command.env_remove(name);
    }
    let failed = |cause| Failure::Program { program: program.to_string_lossy().into_owned(), cause };
    let status = command.status().map_err(failed)?;
    match status.code() {
        Some(0) => Ok(()),
        code => Err(Failure::Exited(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))),
    }
}

fn exports(
    context: &Context<'_>,
    remote: &str,
    port_here: u16,
    ca: Option<PathBuf>,
) -> Result<Exports, Failure> {
    let mut place = Place {
        api: format!("http://localhost:{port_here}"),
        git_host: remote.to_owned(),
        git_host_aliases: Vec::new(),
        ca,
        data_dir: None,
        token: None,
    };
    let netrc = Netrc::path(context.env).and_then(|path| Netrc::read(&path).ok());
    place.token = netrc.and_then(|netrc| netrc.password(place.machine()).map(renga_model::Secret::new));
    Exports::new(&place, place.token.as_ref(), &own_path(), context.env)
}

// === who is there ===

fn config(pinned: Option<Fingerprint>) -> Result<Arc<ClientConfig>, Failure> {
    let made = match pinned {
        None => tls::trusting(None),
        Some(fingerprint) => verified_by(Trust::Pinned(fingerprint)),
    };
    made.map_err(Failure::local("set up TLS"))
}

fn verified_by(trust: Trust) -> io::Result<Arc<ClientConfig>> {
    let provider = tls::provider();
    let verifier = Arc::new(Verifier { trust, provider: provider.clone() });
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(io::Error::other)?.dangerous().with_custom_certificate_verifier(verifier);
    Ok(Arc::new(builder.with_no_client_auth()))
}

fn shake_hands(host: &str, port: u16, config: &Arc<ClientConfig>) -> io::Result<ClientConnection> {
    tls::connect(host, port, config).map(|(_, connection)| connection)
}

fn certificate(connection: &ClientConnection, pinned: Fingerprint) -> Option<CertificateDer<'static>> {
    let chain = connection.peer_certificates()?;
    chain
        .iter()
        .find(|certificate| Fingerprint::of(certificate) == pinned)
        .map(|found| found.clone().into_owned())
}

/// If it is the certificate that was not believed, what it is, so that it can be compared. Nothing is sent meanwhile.
fn explain(host: &str, port: u16, args: &ConnectArgs, failed: io::Error) -> Failure {
    let unbelieved = failed.kind() == io::ErrorKind::InvalidData;
    let looked = || {
        let connection = shake_hands(host, port, &verified_by(Trust::Nobody).ok()?).ok()?;
        connection.peer_certificates()?.last().map(Fingerprint::of)
    };
    match unbelieved.then(looked).flatten() {
        Some(found) => Failure::UnknownCa {
            url: args.url.clone(),
            found: found.to_string(),
            expected: args.fingerprint.map(|fingerprint| fingerprint.to_string()),
        },
        None => Failure::Unreachable { api: args.url.clone(), cause: failed.to_string() },
    }
}

/// For git, Node and terminals, which want files.
fn write_down(context: &Context<'_>, remote: &str, ca: &CertificateDer<'_>) -> Result<PathBuf, Failure> {
    let folder = context.env.cache_dir().ok_or(Failure::NoHome)?;
    let file =
        folder.join(format!("platform-{}.pem", remote.replace(|c: char| !c.is_ascii_alphanumeric(), "-")));
    let failed = |cause| Failure::TrustBundle { file: file.clone(), cause };
    fs::create_dir_all(&folder).map_err(failed)?;
    fs::write(&file, pem(ca)).map_err(failed)?;
    Ok(file)
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    const LINE: usize = 64;
    let encoded = STANDARD.encode(certificate);
    let lines: Vec<_> = encoded.as_bytes().chunks(LINE).map(|line| String::from_utf8_lossy(line)).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}
