//! An authority, its DNS and the machine that names lead to, all on loopback and gone with the test.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use renga_acme::Config;

/// Far longer than either program takes to listen.
const START_MAX: Duration = Duration::from_secs(20);

pub(crate) struct Pebble {
    /// What is answered to the authority, by token.
    pub(crate) answers: Arc<Mutex<BTreeMap<String, String>>>,
    pub(crate) config: Config,
    folder: tempfile::TempDir,
    dns_management: u16,
    children: Vec<Child>,
}

impl Pebble {
    /// One that calls so many of a hundred good nonces bad.
    pub(crate) fn start(bad_nonces_percent: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (answers, http_port) = answer();
        let [acme, dns, dns_management] = free_ports();
        let ca_pem = server_certificate(&folder);
        let config = format!(
            r#"{{"pebble": {{"listenAddress": "127.0.0.1:{acme}", "certificate": "{0}/cert.pem",
                "privateKey": "{0}/key.pem", "httpPort": {http_port}, "tlsPort": 1}}}}"#,
            folder.path().display()
        );
        std::fs::write(folder.path().join("pebble.json"), config).unwrap();
        let mut resolver = Command::new("pebble-challtestsrv");
        resolver.args(["-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", ""]);
        resolver.args(["-dns01", &format!("127.0.0.1:{dns}")]);
        resolver.args(["-management", &format!("127.0.0.1:{dns_management}")]);
        let mut authority = Command::new("pebble");
        authority.arg("-config").arg(folder.path().join("pebble.json"));
        authority.args(["-dnsserver", &format!("127.0.0.1:{dns}")]);
        authority.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_AUTHZREUSE", "0");
        authority.env("PEBBLE_WFE_NONCEREJECT", bad_nonces_percent.to_string());
        let config = Config {
            directory: format!("https://localhost:{acme}/dir"),
            email: Some("ops@example.com".into()),
            ca_pem: Some(ca_pem),
            proxy: None,
            binding: None,
            dns_hook: Vec::new(),
            dns_timeout: START_MAX,
        };
        let mut pebble = Self { answers, config, folder, dns_management, children: Vec::new() };
        for (command, port) in [(&mut resolver, dns_management), (&mut authority, acme)] {
            let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            pebble.children.push(quiet.spawn().expect("pebble must be installed: apt-get install pebble"));
            listens(port);
        }
        pebble
    }

    /// A program that writes records into the DNS that the authority asks.
    pub(crate) fn hook(&self) -> Vec<PathBuf> {
        let program = self.folder.path().join("hook");
        let script = format!(
            "#!/bin/sh\ncase $1 in present) what=set-txt ;; *) what=clear-txt ;; esac\n\
             exec curl -sSf --noproxy '*' -d \"{{\\\"host\\\":\\\"$2.\\\",\\\"value\\\":\\\"$3\\\"}}\" \
             http://127.0.0.1:{}/$what\n",
            self.dns_management
        );
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        vec![program]
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for child in &mut self.children {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// Ports that nobody has now.
fn free_ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

fn listens(port: u16) {
    let begin = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begin.elapsed() < START_MAX, "nobody listens on port {port}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// What names lead to: it answers tokens that it was told, and has nothing else. Ends with the test's process.
fn answer() -> (Arc<Mutex<BTreeMap<String, String>>>, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answers = Arc::new(Mutex::new(BTreeMap::<String, String>::new()));
    let told = answers.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut line = String::new();
            stream.read_line(&mut line).unwrap();
            while stream.read_line(&mut String::new()).is_ok_and(|bytes| bytes > 2) {}
            let token =
                line.split(' ').nth(1).and_then(|path| path.strip_prefix("/.well-known/acme-challenge/"));
            let found = token.and_then(|token| told.lock().unwrap().get(token).cloned());
            let (status, body) = found.map_or(("404 Not Found", String::new()), |answer| ("200 OK", answer));
            let length = body.len();
            // The authority may have hung up.
            write!(
                stream.get_mut(),
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            )
            .ok();
        }
    });
    (answers, port)
}

/// Writes what the authority serves its own API by, and gives back what to trust.
fn server_certificate(folder: &tempfile::TempDir) -> Vec<u8> {
    let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    std::fs::write(folder.path().join("cert.pem"), leaf.pem()).unwrap();
    std::fs::write(folder.path().join("key.pem"), key.serialize_pem()).unwrap();
    ca_pem.into_bytes()
}
