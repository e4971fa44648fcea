//! Where things lie in a build dyno. Tests put all of it below a directory of their own.

use std::path::PathBuf;

use renga_ports::{BUILD_REQUEST_PATH, BUILD_RESULT_PATH};

#[derive(Debug, Clone)]
pub struct Places {
    pub request: PathBuf,
    pub result: PathBuf,
    /// `HOME`, and what the slug's tree is at run time.
    pub app: PathBuf,
    pub tmp: PathBuf,
    /// Finished layers.
    pub layers_out: PathBuf,
    /// `CACHE_DIR` of external buildpacks; its absolute path never changes.
    pub cache: PathBuf,
    /// A tmpfs for `ENV_DIR`; the first of these that can be written is taken.
    pub private: Vec<PathBuf>,
    /// Runtimes that the operator mounted, copied into a layer when used (`python-3.12.9/`, `node-22.1.0/`).
    pub runtimes_mounted: PathBuf,
    /// Runtimes and tools that the stack image itself holds, used in place.
    pub stack_tools: PathBuf,
    /// The stack's list of packages: what was compiled against one stack is not used on another.
    pub stack_packages: PathBuf,
}

impl Places {
    pub fn of_a_build_dyno() -> Self {
        Self {
            request: BUILD_REQUEST_PATH.into(),
            result: BUILD_RESULT_PATH.into(),
            app: "/app".into(),
            tmp: "/tmp".into(),
            layers_out: "/out/layers".into(),
            cache: "/tmp/codon/tmp/cache".into(),
            private: vec!["/run/renga".into(), "/dev/shm".into(), "/tmp".into()],
            runtimes_mounted: "/renga/runtimes".into(),
            stack_tools: "/usr/lib/renga".into(),
            stack_packages: "/var/lib/dpkg/status".into(),
        }
    }
}
