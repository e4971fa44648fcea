//! A node by itself, for tests that kill it: `node DATA_DIR INSTANCE SUBNET SERVER_UID SUPERVISOR [remove|weak]`.
//! With `remove` it takes the instance away instead of serving it, with `weak` it takes a machine without limits.
//! The socket is `DATA_DIR/node.sock`, the exchange directory `DATA_DIR/exchange`.

use std::{fs, path::PathBuf};

use renga_runtime::{Config, resolvers};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [data_dir, instance, subnet, server_uid, supervisor, role @ ..] = &words[..] else {
        return Err("five arguments are needed".into());
    };
    let data_dir = PathBuf::from(data_dir);
    let config = Config {
        instance: instance.parse()?,
        subnet: subnet.parse()?,
        uid_base: 300_000_000,
        uid_count: 65_536 * 16,
        server_uid: server_uid.parse()?,
        supervisor: supervisor.into(),
        builder: supervisor.into(),
        stacks: Vec::new(),
        network_allow: Vec::new(),
        dns: resolvers(&fs::read_to_string("/etc/resolv.conf")?),
        exchange_dir: data_dir.join("exchange"),
        ca_bundle: None,
        disk_floor_bytes: 0,
        disk_write_bytes_per_s: None,
        allow_weak_isolation: role.first().is_some_and(|role| role == "weak"),
        data_dir: data_dir.clone(),
    };
    if role.first().is_some_and(|role| role == "remove") {
        return Ok(renga_runtime::remove_instance(&config)?);
    }
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let signals = async move {
        tokio::signal::ctrl_c().await.ok();
        stop.cancel();
    };
    let socket = data_dir.join("node.sock");
    tokio::select! {
        served = renga_node::serve(config, &socket, shutdown) => Ok(served?),
        () = async { signals.await; std::future::pending().await } => Ok(()),
    }
}
