//! `renga node`: the only role with root. It parses no byte of the internet: its one Unix socket belongs to the server.

use std::os::unix::net::UnixStream;

use anyhow::{Context, Result, bail};
use renga_runtime::{InstanceName, Ipv4Cidr};

use crate::{bundle, config::Config, instance::Instance, layout::Layout};

pub(crate) async fn run(config: &Config) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("renga node needs root: it makes mounts, cgroups and networks for dynos");
    }
    let stop = super::stop_signal()?;
    let instance = Instance::load_or_choose(&config.data_dir)?;
    let layout = Layout::new(&config.data_dir);
    layout.make(&instance)?;
    renga_node::serve(hand_config(config, &layout, &instance)?, &layout.node_socket(), stop).await?;
    Ok(())
}

/// Ends every dyno of the instance and frees what it has on this machine, its data directory included.
pub(crate) fn uninstall(config: &Config) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("renga uninstall needs root: it ends dynos and frees mounts, cgroups and networks");
    }
    let layout = Layout::new(&config.data_dir);
    let instance = Instance::load(&config.data_dir)?;
    refuse_while_running(&layout)?;
    renga_runtime::remove_instance(&hand_config(config, &layout, &instance)?)?;
    crate::install::remove(&config.data_dir)?;
    std::fs::remove_dir_all(&config.data_dir)
        .with_context(|| format!("could not remove {}", config.data_dir.display()))
}

/// Whoever listens would lose the ground under its feet.
fn refuse_while_running(layout: &Layout) -> Result<()> {
    let sockets = [
        ("node", layout.node_socket()),
        ("router", layout.router_control()),
        ("server", layout.hook_socket()),
    ];
    for (role, socket) in sockets {
        if UnixStream::connect(&socket).is_ok() {
            bail!(
                "renga {role} is running in {}; stop the platform first (systemctl disable --now renga-node \
                 renga-server renga-router, or SIGTERM to `renga up`)",
                layout.root.display()
            );
        }
    }
    Ok(())
}

fn hand_config(config: &Config, layout: &Layout, instance: &Instance) -> Result<renga_runtime::Config> {
    let programs = bundle::unpack(&layout.at("programs"))?;
    let network_allow = config.network_allow.iter().map(|cidr| cidr.parse::<Ipv4Cidr>());
    Ok(renga_runtime::Config {
        data_dir: config.data_dir.clone(),
        instance: instance.id.parse::<InstanceName>().context("instance.json is damaged")?,
        subnet: instance.subnet.parse().context("instance.json is damaged")?,
        uid_base: instance.dyno_uid_base,
        uid_count: instance.dyno_uid_count,
        server_uid: instance.server_uid,
        supervisor: programs.supervisor,
        builder: programs.builder,
        stacks: config.stacks.clone(),
        network_allow: network_allow.collect::<Result<_, _>>().context("network.allow")?,
        dns: config.dns.clone(),
        exchange_dir: layout.at("exchange"),
        ca_bundle: config.ca_bundle.clone(),
        disk_floor_bytes: config.disk_floor_bytes,
        disk_write_bytes_per_s: config.disk_write_bytes_per_s,
        allow_weak_isolation: config.allow_weak_isolation,
    })
}
