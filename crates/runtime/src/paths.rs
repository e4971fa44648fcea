//! Every path below `DATA_DIR/node`, in one place.
//!
//! Directories are 0711: the server's user and mapped roots may pass to what they know by name, and list nothing.
//! All mounts of a dyno lie in its `m`, which only its own mapped root group may pass.

use std::path::{Path, PathBuf};

use renga_model::{DynoId, LayerDigest};

#[derive(Debug, Clone)]
pub(crate) struct Paths {
    node: PathBuf,
}

impl Paths {
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self { node: data_dir.join("node") }
    }
    pub(crate) fn node(&self) -> &Path {
        &self.node
    }
    pub(crate) fn layers(&self) -> PathBuf {
        self.node.join("layers")
    }
    pub(crate) fn layer(&self, digest: &LayerDigest) -> PathBuf {
        self.layers().join(format!("{digest}.erofs"))
    }
    /// Mount points of layers and stacks, each mounted once.
    pub(crate) fn images(&self) -> PathBuf {
        self.node.join("images")
    }
    pub(crate) fn stacks(&self) -> PathBuf {
        self.node.join("stacks")
    }
    pub(crate) fn templates(&self) -> PathBuf {
        self.node.join("templates")
    }
    /// Half-made files; emptied at every start.
    pub(crate) fn temporary(&self) -> PathBuf {
        self.node.join("tmp")
    }
    pub(crate) fn programs(&self) -> PathBuf {
        self.node.join("bin")
    }
    pub(crate) fn dynos(&self) -> PathBuf {
        self.node.join("dynos")
    }
    pub(crate) fn lock(&self) -> PathBuf {
        self.node.join("lock")
    }
    pub(crate) fn run(&self) -> PathBuf {
        self.node.join("run")
    }
    pub(crate) fn dyno(&self, id: DynoId) -> DynoPaths {
        DynoPaths { directory: self.dynos().join(id.to_string()) }
    }
}

/// What one dyno has; see `renga_supervision` for the files that the supervisor writes.
#[derive(Debug, Clone)]
pub(crate) struct DynoPaths {
    directory: PathBuf,
}

impl DynoPaths {
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }
    pub(crate) fn label(&self) -> PathBuf {
        self.directory.join("label.json")
    }
    pub(crate) fn plan(&self) -> PathBuf {
        self.directory.join("plan.json")
    }
    pub(crate) fn state(&self) -> PathBuf {
        self.directory.join("state.json")
    }
    pub(crate) fn exit(&self) -> PathBuf {
        self.directory.join("exit.json")
    }
    pub(crate) fn control(&self) -> PathBuf {
        self.directory.join("control.sock")
    }
    pub(crate) fn disk_image(&self) -> PathBuf {
        self.directory.join("disk.ext4")
    }
    pub(crate) fn mounts(&self) -> PathBuf {
        self.directory.join("m")
    }
    pub(crate) fn disk(&self) -> PathBuf {
        self.mounts().join("disk")
    }
    pub(crate) fn upper(&self) -> PathBuf {
        self.disk().join("upper")
    }
    pub(crate) fn lower(&self) -> PathBuf {
        self.mounts().join("lower")
    }
    pub(crate) fn root(&self) -> PathBuf {
        self.mounts().join("root")
    }
    pub(crate) fn files(&self) -> PathBuf {
        self.mounts().join("files")
    }
    pub(crate) fn netns(&self) -> PathBuf {
        self.mounts().join("netns")
    }
    /// Sources of bind mounts, numbered.
    pub(crate) fn bind(&self, number: usize) -> PathBuf {
        self.mounts().join(format!("bind-{number}"))
    }
}
