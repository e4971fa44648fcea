//! `renga install`: systemd units for the three roles, started at boot, and the users that they run as.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{config::Config, instance::Instance, layout::Layout, roles::up::ROUTER_NICE};

pub(crate) const ROLES: [&str; 3] = ["node", "server", "router"];
const UNITS: &str = "/etc/systemd/system";
const USERS: &str = "/etc/sysusers.d/renga.conf";
const SERVER_USER: &str = "renga-server";
const ROUTER_USER: &str = "renga-router";
const GROUP: &str = "renga";

#[derive(Debug, clap::Args)]
pub(crate) struct InstallArgs {
    #[command(flatten)]
    pub(crate) config: crate::config::ConfigArgs,
    /// Where the units go
    #[arg(long, value_name = "DIR", default_value = UNITS)]
    pub(crate) units: PathBuf,
    /// Print the units instead of writing them
    #[arg(long)]
    pub(crate) print: bool,
}

pub(crate) fn run(args: &InstallArgs, config: &Config) -> Result<String> {
    let program = std::env::current_exe().context("could not find this program")?;
    let (program, flags) = (text(&program)?, flags(args, config)?);
    let low_ports = config.server_on_low_port();
    if args.print {
        let units = ROLES.map(|role| unit(role, &program, &flags, low_ports));
        return Ok(units.join("\n"));
    }
    fs::create_dir_all(&config.data_dir).context("could not make the data directory")?;
    let instance = Instance::load_or_choose(&config.data_dir)?;
    Layout::new(&config.data_dir).make(&instance)?;
    if !args.units.is_dir() {
        bail!(
            "{} is not there: is systemd the init of this machine? See `renga install --print`",
            args.units.display()
        );
    }
    make_users(&instance)?;
    for role in ROLES {
        let path = args.units.join(unit_name(role));
        fs::write(&path, unit(role, &program, &flags, low_ports))
            .with_context(|| format!("could not write {}", path.display()))?;
    }
    Ok(format!(
        "Wrote {0} to {1}.\nStart them now and at every boot with:\n\n  systemctl daemon-reload && systemctl enable --now {0}\n",
        ROLES.map(|role| format!("renga-{role}")).join(" "),
        args.units.display()
    ))
}

/// systemd runs nothing as a number without a name.
fn make_users(instance: &Instance) -> Result<()> {
    let group = instance.group();
    let users = format!(
        "# Written by `renga install`.\ng {GROUP} {group}\n\
         u {SERVER_USER} {}:{group} \"Renga server\"\nu {ROUTER_USER} {}:{group} \"Renga router\"\n",
        instance.server_uid, instance.router_uid
    );
    fs::create_dir_all(Path::new(USERS).parent().unwrap_or(Path::new("/")))
        .context("could not make the folder of sysusers")?;
    fs::write(USERS, users).with_context(|| format!("could not write {USERS}"))?;
    run_tool("systemd-sysusers", &[USERS])
}

/// The program that the units start, if they were written for this data directory.
pub(crate) fn installed(data_dir: &Path) -> Option<PathBuf> {
    let node = fs::read_to_string(Path::new(UNITS).join(unit_name("node"))).ok()?;
    let data_dir = text(data_dir).ok()?;
    let is_ours = node.contains(&format!(" --data-dir {data_dir}\n"))
        || node.contains(&format!(" --data-dir {data_dir} "));
    let start = node.lines().find_map(|line| line.strip_prefix("ExecStart="))?;
    is_ours.then(|| PathBuf::from(start.split(' ').next().unwrap_or_default()))
}

pub(crate) fn restart(role: &str) -> Result<()> {
    run_tool("systemctl", &["restart", &unit_name(role)])
}

/// What [`run`] has put on the machine, if it was for this data directory. Nothing to remove is fine.
pub(crate) fn remove(data_dir: &Path) -> Result<()> {
    let units = Path::new(UNITS);
    if installed(data_dir).is_none() {
        return Ok(());
    }
    for path in
        ROLES.map(|role| units.join(unit_name(role))).iter().map(PathBuf::as_path).chain([Path::new(USERS)])
    {
        fs::remove_file(path).with_context(|| format!("could not remove {}", path.display()))?;
    }
    run_tool("systemctl", &["daemon-reload"])?;
    for user in [SERVER_USER, ROUTER_USER] {
        run_tool("userdel", &[user])?;
    }
    run_tool("groupdel", &[GROUP])
}

fn run_tool(program: &str, words: &[&str]) -> Result<()> {
    let done =
        Command::new(program).args(words).output().with_context(|| format!("could not run {program}"))?;
    if !done.status.success() {
        bail!("{program} {} failed: {}", words.join(" "), String::from_utf8_lossy(&done.stderr).trim());
    }
    Ok(())
}

fn unit_name(role: &str) -> String {
    format!("renga-{role}.service")
}

/// The flags that the units repeat: where the data and the configuration are.
fn flags(args: &InstallArgs, config: &Config) -> Result<String> {
    let mut flags = format!(" --data-dir {}", text(&config.data_dir)?);
    if let Some(path) = &args.config.config {
        flags += &format!(" --config {}", text(path)?);
    }
    Ok(flags)
}

/// A path as systemd takes it: absolute, and without characters that it would read as its own.
fn text(path: &Path) -> Result<String> {
    let path = std::path::absolute(path)?;
    let text = path.to_str().context("the path is not UTF-8")?.to_owned();
    if text.contains(|c: char| c.is_whitespace() || "\"'\\$%".contains(c)) {
        bail!("{text}: systemd units can't name a path with spaces, quotes, $ or %");
    }
    Ok(text)
}

/// `low_ports`: the server listens on one that is root's.
fn unit(role: &str, program: &str, flags: &str, low_ports: bool) -> String {
    // The node delegates its cgroup to dynos, and a stop of the unit must leave them running.
    let own = match role {
        "node" => "Delegate=yes\nKillMode=process\nOOMScoreAdjust=-900\n".to_owned(),
        "server" => {
            let leave = if low_ports { "AmbientCapabilities=CAP_NET_BIND_SERVICE\n" } else { "" };
            format!("User={SERVER_USER}\nGroup={GROUP}\nNoNewPrivileges=yes\n{leave}")
        }
        _ => format!(
            "User={ROUTER_USER}\nGroup={GROUP}\nNoNewPrivileges=yes\nAmbientCapabilities=CAP_NET_BIND_SERVICE\nLimitNOFILE=1048576\nNice={ROUTER_NICE}\n"
        ),
    };
    let after =
        if role == "node" { "network-online.target" } else { "network-online.target renga-node.service" };
    // However often a role fails, it is tried again: a full disk or a lost network may take its time.
    format!(
        "[Unit]\nDescription=Renga {role}\nAfter={after}\nWants=network-online.target\nStartLimitIntervalSec=0\n\n\
         [Service]\nExecStart={program} {role}{flags}\nRestart=always\nRestartSec=1\nTimeoutStopSec=40\n{own}\n\
         [Install]\nWantedBy=multi-user.target\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_keeps_its_dynos_and_paths_are_checked() {
        let server =
            |low_ports| unit("server", "/usr/bin/renga", "", low_ports).contains("CAP_NET_BIND_SERVICE");
        assert!(server(true) && !server(false));
        let unit = unit("node", "/usr/bin/renga", " --data-dir /srv/renga", false);
        for line in
            ["Delegate=yes", "KillMode=process", "ExecStart=/usr/bin/renga node --data-dir /srv/renga"]
        {
            assert!(unit.contains(line), "{unit}");
        }
        assert!(text(Path::new("/srv/a b")).is_err());
    }
}
