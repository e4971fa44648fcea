//! `connect`: asks who is there, writes down its CA, prints the exports, forwards.

use std::{
    ffi::OsString,
    fs,
    io::{self, Read as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use renga_model::Secret;
use rustls::{ClientConfig, ClientConnection, pki_types::CertificateDer};

use super::{
    authority,
    forward::{self, Target},
    hosts::{DOMAINS, SERVED},
    pin::{Fingerprint, Trust, Verifier},
    proxy::{self, Proxy},
    service,
    site::SiteProxy,
};
use crate::{
    commands::own_path,
    context::Context,
    errors::Failure,
    netrc::Netrc,
    platform::{Exports, Place, Proxied, authority as authority_of, write_if_changed},
    tls,
};

const HTTPS_PORT: u16 = 443;
/// Of a token file.
const TOKEN_BYTES_MAX: u64 = 4 * 1024;

/// `connect`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  renga connect https://paas.example:4443 --fingerprint 5A:1F:...\n  \
                        renga connect https://paas.example:4443 --fingerprint 5A:1F:... -- heroku apps\n  \
                        renga connect https://paas.example:4443 --fingerprint 5A:1F:... -- renga login\n  \
                        renga connect https://paas.example:4443 --fingerprint 5A:1F:... --proxy -- heroku apps\n\n\
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
    /// Be an HTTPS proxy that answers for api.heroku.com, git.heroku.com and their like
    #[arg(long)]
    pub proxy: bool,
    /// File that holds the token [default: what `renga login` or `heroku login` kept for localhost:PORT]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Print the variables for the fish shell
    #[arg(long)]
    pub fish: bool,
    /// A command to run instead, until it ends
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// What the local port does, and the variables that lead to it.
struct Service {
    exports: Exports,
    handle: Box<dyn Fn(TcpStream) + Send + Sync>,
}

pub(crate) fn connect(context: &Context<'_>, args: &ConnectArgs) -> Result<(), Failure> {
    let remote = args.url.strip_prefix("https://").map(authority_of).unwrap_or_default();
    let wrong =
        || Failure::Usage(format!("{} is no address of a platform; write https://HOST:PORT", args.url));
    let (host, port) = tls::split_authority(remote, HTTPS_PORT).ok_or_else(wrong)?;
    let config = config(args.fingerprint)?;
    let ca = match shake_hands(&host, port, &config) {
        Ok(connection) => args.fingerprint.and_then(|pinned| certificate(&connection, pinned)),
        Err(failed) => return Err(explain(&host, port, args, failed)),
    };
    let ca = ca.map(|ca| pem(&ca));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port));
    let listener = listener.map_err(|cause| Failure::LocalPort { port: args.port, cause })?;
    let port_here = listener.local_addr().map_err(Failure::local("listen"))?.port();
    let target = Target { host, port, authority: remote.to_owned(), config };
    let service = match args.proxy {
        false => forwarder(context, args, target, port_here, ca)?,
        true => proxy(context, args, target, port_here, ca)?,
    };
    let Service { exports, handle } = service;
    match args.command.split_first() {
        None => {
            context.out.print(&if args.fish { exports.for_fish() } else { exports.for_sh() })?;
            context.out.note(&format!("Connected to {remote}. Ctrl-C ends it.\n"));
            service::serve(&listener, handle);
            Ok(())
        }
        Some((program, rest)) => {
            std::thread::spawn(move || service::serve(&listener, handle));
            run(program, rest, &exports)
        }
    }
}

fn forwarder(
    context: &Context<'_>,
    args: &ConnectArgs,
    target: Target,
    port_here: u16,
    ca: Option<String>,
) -> Result<Service, Failure> {
    let place = Place {
        api: format!("http://localhost:{port_here}"),
        git_host: target.authority.clone(),
        git_host_aliases: Vec::new(),
        ca: ca.map(|ca| write_down(context, &format!("platform-{}", target.authority), &ca)).transpose()?,
        data_dir: None,
        token: token(context, args, port_here)?,
    };
    let exports = Exports::new(&place, place.token.as_ref(), &own_path(), context.env)?;
    // A connection that broke concerns its two ends, which see it themselves.
    let handle = move |client| drop(forward::forward(client, &target));
    Ok(Service { exports, handle: Box::new(handle) })
}

fn proxy(
    context: &Context<'_>,
    args: &ConnectArgs,
    platform: Target,
    port_here: u16,
    ca: Option<String>,
) -> Result<Service, Failure> {
    let token = token(context, args, port_here)?;
    let token = token.ok_or_else(|| Failure::TokenNeeded { url: args.url.clone(), port: args.port })?;
    let site = SiteProxy::of(context.env, port_here)?;
    let local = authority::for_heroku(context.out.now).map_err(Failure::local("make a certificate"))?;
    let name = |kind: &str| format!("{kind}-{}-{port_here}", platform.authority);
    // Bundles that hold those of an earlier run are recognised by the first line.
    let local_pem = format!("# renga connect, port {port_here}\n{}", local.ca_pem);
    let local_ca = write_down(context, &name("proxy"), &local_pem)?;
    let all = format!("{local_pem}{}", ca.unwrap_or_default());
    let all_cas = write_down(context, &name("proxy-and-platform"), &all)?;
    let proxied = Proxied {
        url: format!("http://127.0.0.1:{port_here}"),
        platform: &platform.authority,
        local_ca: &local_ca,
        all_cas: &all_cas,
        token: &token,
        hosts: &[&SERVED[..], &DOMAINS].concat(),
    };
    let exports = Exports::proxied(&proxied, context.env)?;
    let proxy = Proxy { platform, token, tls: local.config, site };
    let handle = move |client| drop(proxy::serve_one(client, &proxy));
    Ok(Service { exports, handle: Box::new(handle) })
}

/// That of a file, or what a sign-in through the forwarder has kept.
fn token(context: &Context<'_>, args: &ConnectArgs, port_here: u16) -> Result<Option<Secret>, Failure> {
    if let Some(file) = &args.token_file {
        let failed = |cause| Failure::TokenFile { file: file.clone(), cause };
        return read_token(file).map(Some).map_err(failed);
    }
    let netrc = Netrc::path(context.env).and_then(|path| Netrc::read(&path).ok());
    let machine = format!("localhost:{port_here}");
    Ok(netrc.and_then(|netrc| netrc.password(&machine).map(Secret::new)))
}

/// One word: it becomes a header.
fn read_token(file: &Path) -> io::Result<Secret> {
    let mut text = String::new();
    fs::File::open(file)?.take(TOKEN_BYTES_MAX).read_to_string(&mut text)?;
    match text.trim() {
        token if !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(Secret::new(token))
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the file must hold one word")),
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
fn write_down(context: &Context<'_>, name: &str, certificates: &str) -> Result<PathBuf, Failure> {
    let folder = context.env.cache_dir().ok_or(Failure::NoHome)?;
    let name = name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let file = folder.join(format!("{name}.pem"));
    write_if_changed(&file, certificates)
        .map_err(|cause| Failure::TrustBundle { file: file.clone(), cause })?;
    Ok(file)
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    const LINE: usize = 64;
    let encoded = STANDARD.encode(certificate);
    let lines: Vec<_> = encoded.as_bytes().chunks(LINE).map(|line| String::from_utf8_lossy(line)).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}
