//! Beside Docker and ufw, in a network of the test's own:
//!
//! ```text
//!   dynos ── rb<inst> ─┐
//!                      ├─ this thread's namespace ── up0 ── world: 203.0.113.7, and addresses that are nobody's business
//!   container ─ docker0┘   FORWARD: DROP
//! ```
//!
//! World and container are one process in a namespace of its own, which listens everywhere and answers DNS.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use renga_ports::Runtime;
use renga_runtime::Hand;

use crate::site::{Site, spec, web};

const WORLD: &str = "203.0.113.7";
const METADATA: &str = "169.254.169.254";
const LAN: &str = "10.255.9.7";
const CONTAINER: &str = "172.17.0.2";
const PORT: u16 = 7000;

const LISTEN: &str = "
import socket, threading
tcp = socket.create_server(('::', 7000), family=socket.AF_INET6, dualstack_ipv6=True)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(('', 5353))
def names():
    while True:
        asked, who = udp.recvfrom(512)
        end = asked.index(0, 12) + 5
        a = asked[end - 4:end - 2] == b'\\x00\\x01'
        answer = b'\\xc0\\x0c\\0\\x01\\0\\x01\\0\\0\\0\\x3c\\0\\x04' + socket.inet_aton('203.0.113.7')
        udp.sendto(asked[:2] + b'\\x81\\x80\\0\\x01\\0' + bytes([a]) + bytes(4) + asked[12:end] + answer * a, who)
threading.Thread(target=names, daemon=True).start()
print('ready', flush=True)
while True: tcp.accept()[0].close()";

const CONNECT: &str = "
import socket, sys
for word in sys.argv[1:]:
    target, _, source = word.partition('@')
    host, _, port = target.rpartition(':')
    try:
        socket.create_connection((host, int(port)), 0.7, (source, 0) if source else None).close()
        print(host, 'connected')
    except OSError as error:
        print(host, 'apart')";

/// As Docker leaves the chains, and ufw after `ufw enable`: what matters of them, with their names.
const DOCKER: &str = "-N DOCKER
-N DOCKER-USER
-N DOCKER-FORWARD
-P FORWARD DROP
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER-FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -o docker0 -j DOCKER
-A DOCKER-FORWARD -i docker0 -j ACCEPT
-A DOCKER ! -i docker0 -o docker0 -j DROP
-A DOCKER-USER -j RETURN
-t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE";
const UFW: &str = "-N ufw-before-input
-N ufw-before-forward
-N ufw-before-output
-N ufw-reject-forward
-P INPUT DROP
-P FORWARD DROP
-A INPUT -j ufw-before-input
-A FORWARD -j ufw-before-forward
-A FORWARD -j ufw-reject-forward
-A OUTPUT -j ufw-before-output
-A ufw-before-input -i lo -j ACCEPT
-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-input -m conntrack --ctstate INVALID -j DROP
-A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-output -o lo -j ACCEPT
-A ufw-before-output -j ACCEPT";

#[test]
fn real_beside_docker() {
    apart(|| beside("iptables-nft", &[DOCKER]));
}

#[test]
fn real_beside_ufw() {
    apart(|| beside("iptables-nft", &[UFW]));
}

#[test]
fn real_beside_both_in_the_old_iptables() {
    apart(|| {
        if Command::new("iptables-legacy").arg("-S").output().unwrap().status.success() {
            beside("iptables-legacy", &[UFW, DOCKER]);
        } else {
            println!("this kernel has no old tables: nothing passes them");
        }
    });
}

/// In a network namespace of its own: the threads that this one starts, and their programs, are in it, too.
fn apart(story: impl FnOnce() + Send + 'static) {
    #[allow(unsafe_code)]
    let there = thread::spawn(|| {
        // SAFETY: only the network namespace is left, by a thread that has started nothing yet.
        unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }.unwrap();
        story();
    });
    if let Err(panic) = there.join() {
        std::panic::resume_unwind(panic);
    }
}

fn beside(program: &'static str, firewalls: &[&str]) {
    let world = World::make();
    for target in [WORLD, METADATA, LAN, CONTAINER] {
        let address: SocketAddr = format!("{target}:{PORT}").parse().unwrap();
        assert!(TcpStream::connect_timeout(&address, Duration::from_secs(5)).is_ok(), "{target}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let site = Site::open_with(|config| config.dns = vec!["198.51.100.1:5353".parse().unwrap()]).await;
        is_apart(&site, &world).await;
        // They come up after us, and close what was open.
        firewalls.iter().for_each(|rules| apply(program, rules));
        let before = saved(program);
        assert_eq!(reached(&site, &[WORLD]).await[WORLD], "apart", "the firewall is closed");
        let mut site = site;
        site.hand.close().await;
        site.hand = Hand::open(site.config.clone()).await.unwrap();
        is_apart(&site, &world).await;
        assert_ne!(saved(program), before);
        drop(site);
        assert_eq!(saved(program), before, "nothing of ours stays");
    });
}

/// Out it goes and names it knows; sideways it goes nowhere, and nobody comes in.
async fn is_apart(site: &Site, world: &World) {
    let gateway = site.config.subnet.to_string().replace("0/26", "1");
    let seen = reached(
        site,
        &[WORLD, "name.test", METADATA, LAN, CONTAINER, "172.17.0.1", "198.51.100.2", &gateway],
    )
    .await;
    for (host, outcome) in &seen {
        let open = [WORLD, "name.test"].contains(&host.as_str());
        assert_eq!(outcome == "connected", open, "{host} {outcome}: {seen:?}");
    }
    let target = web("mine");
    let id = target.id;
    site.hand.start(target).await.unwrap();
    let address = site.ready(id).await.address.unwrap();
    assert!(TcpStream::connect_timeout(&address, Duration::from_secs(5)).is_ok(), "the router reaches it");
    let from = format!("{}@{CONTAINER}", address);
    let attempts = world.run(&["python3", "-c", CONNECT, &from, &address.to_string()]);
    assert_eq!(attempts.matches("apart").count(), 2, "{attempts}");
    site.hand.stop(id, Duration::ZERO).await.unwrap();
    site.exit(id).await;
    site.hand.forget(id).await.unwrap();
}

/// Where a dyno gets, by host.
async fn reached(site: &Site, hosts: &[&str]) -> BTreeMap<String, String> {
    let targets: Vec<String> = hosts.iter().map(|host| format!("{host}:{PORT}")).collect();
    let mut argv = vec!["/usr/bin/python3", "-c", CONNECT];
    argv.extend(targets.iter().map(String::as_str));
    let (exit, output) = site.run(spec(&argv)).await;
    assert_eq!(exit.code, 0, "{output}");
    output.lines().filter_map(|line| line.split_once(' ')).map(|(a, b)| (a.into(), b.into())).collect()
}

// === the neighbourhood ===

struct World(Child);

impl World {
    fn make() -> Self {
        let mut child = Command::new("unshare")
            .args(["--net", "python3", "-c", LISTEN])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let world = Self(child);
        let pid = world.0.id().to_string();
        let lines = [
            "link set lo up".into(),
            format!("link add up0 type veth peer name down0 netns {pid}"),
            "address add 198.51.100.2/24 dev up0".into(),
            "link set up0 up".into(),
            "link add docker0 type bridge".into(),
            "address add 172.17.0.1/16 dev docker0".into(),
            "link set docker0 up".into(),
            format!("link add box0 type veth peer name box1 netns {pid}"),
            "link set box0 master docker0 up".into(),
        ];
        lines.iter().for_each(|line: &String| ip(Command::new("ip"), line));
        for line in [
            "link set lo up",
            "address add 198.51.100.1/24 dev down0",
            "link set down0 up",
            "address add 203.0.113.7/32 dev lo",
            "address add 169.254.169.254/32 dev lo",
            "address add 10.255.9.7/32 dev lo",
            "address add 172.17.0.2/16 dev box1",
            "link set box1 up",
            // Whoever is there could send to a dyno's address.
            "route add default via 198.51.100.2",
        ] {
            let mut inside = Command::new("nsenter");
            inside.args(["--net", "--target", &pid, "ip"]);
            ip(inside, line);
        }
        ip(Command::new("ip"), "route add default via 198.51.100.1");
        world
    }

    fn run(&self, words: &[&str]) -> String {
        let pid = self.0.id().to_string();
        let output = Command::new("nsenter").args(["--net", "--target", &pid]).args(words).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn ip(mut command: Command, line: &str) {
    assert!(command.args(line.split(' ')).status().unwrap().success(), "ip {line}");
}

fn apply(program: &str, rules: &str) {
    for rule in rules.lines() {
        assert!(Command::new(program).args(rule.split(' ')).status().unwrap().success(), "{program} {rule}");
    }
}

/// All chains and rules, without what counts.
fn saved(program: &str) -> String {
    let output = Command::new(program).arg("-S").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}
