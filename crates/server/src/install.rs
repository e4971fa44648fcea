//! `renga install`: systemd units for the three roles, started at boot.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{config::Config, instance::Instance, layout::Layout};

#[derive(Debug, clap::Args)]
pub(crate) struct InstallArgs {
    #[command(flatten)]
    pub(crate) config: crate::config::ConfigArgs,
    /// Where the units go
    #[arg(long, value_name = "DIR", default_value = "/etc/systemd/system")]
    pub(crate) units: PathBuf,
    /// Print the units instead of writing them
    #[arg(long)]
    pub(crate) print: bool,
}

pub(crate) fn run(args: &InstallArgs, config: &Config) -> Result<String> {
    let program = std::env::current_exe().context("could not find this program")?;
    let (program, flags) = (text(&program)?, flags(args)?);
    if args.print {
        let units = ["node", "server", "router"].map(|role| unit(role, &program, &flags, None));
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
    for role in ["node", "server", "router"] {
        let path = args.units.join(format!("renga-{role}.service"));
        fs::write(&path, unit(role, &program, &flags, Some(&instance)))
            .with_context(|| format!("could not write {}", path.display()))?;
    }
    Ok(format!(
        "Wrote renga-node, renga-server and renga-router to {}.\nStart them now and at every boot with:\n\n  systemctl daemon-reload && systemctl enable --now renga-node renga-server renga-router\n",
        args.units.display()
    ))
}

/// The flags that the units repeat: where the data and the configuration are.
fn flags(args: &InstallArgs) -> Result<String> {
    let mut flags = String::new();
    for (flag, path) in [("--data-dir", &args.config.data_dir), ("--config", &args.config.config)] {
        if let Some(path) = path {
            flags += &format!(" {flag} {}", text(path)?);
        }
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

fn unit(role: &str, program: &str, flags: &str, instance: Option<&Instance>) -> String {
    let uid = |uid: Option<u32>| uid.map_or_else(|| "(chosen at install)".to_owned(), |uid| uid.to_string());
    let group = uid(instance.map(Instance::group));
    // The node delegates its cgroup to dynos, and a stop of the unit must leave them running.
    let own = match role {
        "node" => "Delegate=yes\nKillMode=process\nOOMScoreAdjust=-900\n".to_owned(),
        "server" => {
            format!("User={}\nGroup={group}\nNoNewPrivileges=yes\n", uid(instance.map(|i| i.server_uid)))
        }
        _ => format!(
            "User={}\nGroup={group}\nNoNewPrivileges=yes\nAmbientCapabilities=CAP_NET_BIND_SERVICE\nLimitNOFILE=1048576\n",
            uid(instance.map(|i| i.router_uid))
        ),
    };
    let after =
        if role == "node" { "network-online.target" } else { "network-online.target renga-node.service" };
    format!(
        "[Unit]\nDescription=Renga {role}\nAfter={after}\nWants=network-online.target\n\n\
         [Service]\nExecStart={program} {role}{flags}\nRestart=always\nRestartSec=1\nTimeoutStopSec=40\n{own}\n\
         [Install]\nWantedBy=multi-user.target\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_keeps_its_dynos_and_paths_are_checked() {
        let unit = unit("node", "/usr/bin/renga", " --data-dir /srv/renga", None);
        for line in
            ["Delegate=yes", "KillMode=process", "ExecStart=/usr/bin/renga node --data-dir /srv/renga"]
        {
            assert!(unit.contains(line), "{unit}");
        }
        assert!(text(Path::new("/srv/a b")).is_err());
    }
}
