//! What a dyno reaches, and what it does not.

use std::{
    io::Read,
    net::{TcpListener, TcpStream},
    time::Duration,
};

use renga_ports::{DynoSpec, Runtime};

use crate::site::{Site, bash, web};

fn get(address: std::net::SocketAddr) -> String {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).unwrap();
    std::io::Write::write_all(&mut stream, b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn real_two_dynos_have_the_same_port_and_do_not_meet() {
    let site = Site::open().await;
    let (one, two) = (web("one"), web("two"));
    let ids = [one.id, two.id];
    site.hand.start(one).await.unwrap();
    site.hand.start(two).await.unwrap();
    let addresses = [site.ready(ids[0]).await.address.unwrap(), site.ready(ids[1]).await.address.unwrap()];
    assert_eq!((addresses[0].port(), addresses[1].port()), (5000, 5000));
    assert!(get(addresses[0]).ends_with("one\n") && get(addresses[1]).ends_with("two\n"));
    let script = format!("curl -sS -m 2 http://{}/ && echo met || echo apart", addresses[0]);
    assert!(site.bash(&script).await.ends_with("apart\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn real_ipv6_works_inside_and_nowhere_else() {
    let site = Site::open().await;
    let script = "python3 - <<'END'
import socket
server = socket.create_server(('::', 7000), family=socket.AF_INET6, dualstack_ipv6=True)
for host in ('127.0.0.1', '::1'):
    socket.create_connection((host, 7000), 2).close()
print('both')
END
grep -c eth0 /proc/net/if_inet6";
    let (_, output) = site.run(bash(script)).await;
    assert_eq!(output, "both\n0\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn real_the_machines_own_ports_are_closed() {
    let site = Site::open().await;
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let bridge = site.config.subnet.to_string().replace("0/26", "1");
    let own = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    own.connect("192.0.2.200:9").unwrap();
    let uplink = own.local_addr().unwrap().ip();
    let script = format!(
        "for host in {bridge} {uplink} 169.254.169.254 10.255.255.53; do
            curl -s -m 2 http://$host:{port}/ ; echo $?; done"
    );
    let output = site.bash(&script).await;
    assert!(output.lines().all(|code| code == "7" || code == "28"), "{output}");
    assert_eq!(output.lines().next(), Some("7"), "refused at once: {output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn real_an_allowed_host_service_is_reached() {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let own = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    own.connect("192.0.2.200:9").unwrap();
    let uplink = own.local_addr().unwrap().ip();
    let site =
        Site::open_with(|config| config.network_allow = vec![uplink.to_string().parse().unwrap()]).await;
    let script = format!("exec 3<>/dev/tcp/{uplink}/{port} && echo reached");
    assert_eq!(site.bash(&script).await, "reached\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn real_names_are_resolved_and_the_world_is_reached() {
    let site = Site::open().await;
    let name = registry_host();
    let script = format!(
        "getent ahostsv4 {name} | head -1; curl -sS -m 20 -o /dev/null -w '%{{http_code}}\\n' https://{name}/simple/pip/"
    );
    let (exit, output) = site.run(bash(&script)).await;
    assert!(exit.code == 0 && output.ends_with("200\n"), "{exit:?} {output}");
    let spec = DynoSpec { ..bash("getent hosts no-such-name.invalid || echo unknown") };
    assert_eq!(site.run(spec).await.1, "unknown\n");
}

/// The package index that this machine's pip is told to use.
fn registry_host() -> String {
    let output = std::process::Command::new("python3")
        .args(["-c", "from pip._internal.models.index import PyPI; print(PyPI.netloc)"])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
