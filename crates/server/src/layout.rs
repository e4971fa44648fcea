//! The data directory: what lies where, and who may read it.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::instance::Instance;

#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) root: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
    pub(crate) fn endpoints(&self) -> PathBuf {
        self.at("run/endpoints.json")
    }
    /// The CA's certificate where everybody may read it.
    pub(crate) fn public_ca(&self) -> PathBuf {
        self.at("run/ca.pem")
    }
    pub(crate) fn secrets(&self) -> PathBuf {
        self.at("secrets")
    }
    pub(crate) fn node_socket(&self) -> PathBuf {
        self.at("node/run/node.sock")
    }
    pub(crate) fn dynos(&self) -> PathBuf {
        self.at("node/dynos")
    }
    pub(crate) fn router(&self) -> PathBuf {
        self.at("router")
    }
    pub(crate) fn router_control(&self) -> PathBuf {
        self.at("router/control.sock")
    }
    /// What the router says of its listeners, for ports that were left to it.
    pub(crate) fn router_addresses(&self) -> PathBuf {
        self.at("router/addresses.json")
    }
    /// Who `renga up` is, for `renga upgrade`.
    pub(crate) fn up(&self) -> PathBuf {
        self.at("up.json")
    }
    pub(crate) fn certificates_socket(&self) -> PathBuf {
        self.at("run/certificates.sock")
    }
    pub(crate) fn hook_socket(&self) -> PathBuf {
        self.at("run/hooks.sock")
    }

    /// Makes every folder with its owner; done by root before the others start. Repeating it mends.
    pub(crate) fn make(&self, instance: &Instance) -> Result<()> {
        let (server, router, group) = (instance.server_uid, instance.router_uid, instance.group());
        let folders = [
            ("", 0, 0, 0o755),
            // Server and router meet in `run` and `router`.
            ("run", server, group, 0o751),
            ("router", router, group, 0o770),
            ("ledger", server, group, 0o700),
            ("secrets", server, group, 0o700),
            ("git", server, group, 0o700),
            ("exchange", server, group, 0o700),
            ("outputs", server, group, 0o700),
            ("logs", server, group, 0o700),
            ("home", server, group, 0o700),
            // The server passes through to the sockets and logs of dynos, and reads no list.
            ("node", 0, 0, 0o711),
            // Copies of the supervisor and the builder.
            ("programs", 0, 0, 0o755),
        ];
        for (name, uid, gid, mode) in folders {
            let path = self.at(name);
            fs::create_dir_all(&path).with_context(|| format!("could not make {}", path.display()))?;
            chown(&path, Some(uid), Some(gid))
                .with_context(|| format!("could not give {} away", path.display()))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        }
        // The server may not write into the root's own folder; it writes behind this link.
        match std::os::unix::fs::symlink("run/endpoints.json", self.at("endpoints.json")) {
            Err(failed) if failed.kind() != std::io::ErrorKind::AlreadyExists => Err(failed.into()),
            _ => Ok(()),
        }
    }
}
