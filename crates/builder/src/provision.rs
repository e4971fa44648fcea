//! Putting an interpreter into a stack image while that is made, so that builds use it in place and fetch nothing.
//!
//! Runs inside the stack (a chroot will do) with the network, as whoever may write into `folder`:
//! `renga-build provision python 3.14 /usr/lib/renga/runtimes`.

use std::{collections::BTreeMap, path::Path};

use renga_model::StackName;
use renga_ports::BuildRequest;

use crate::{BuildError, Log, Places, run};

/// Installs the newest `3.minor` below `folder` and returns its full version. `site_env` holds proxies and the like.
pub fn provision_python(
    places: &Places,
    log: &mut Log,
    now: u64,
    minor: u32,
    folder: &Path,
    site_env: BTreeMap<String, String>,
) -> Result<String, BuildError> {
    let stack = StackName::try_from("stack".to_owned()).map_err(|_| BuildError::NoPrivateDirectory)?;
    let request = BuildRequest {
        build: "provision".into(),
        stack,
        source: String::new(),
        strip_top_folder: false,
        version: None,
        checksum: None,
        buildpacks: Vec::new(),
        remembered: None,
        config: BTreeMap::new(),
        cached: Vec::new(),
        facts: BTreeMap::new(),
        site_env,
        slug_bytes_max: 0,
        is_slug: false,
    };
    let context = run::workplace(places, &request, log, now)?;
    let wanted = format!("3.{minor}");
    let version = crate::python::provision(&context, minor, folder);
    let scratch = context.scratch.clone();
    drop(context);
    drop(std::fs::remove_dir_all(scratch));
    version?.ok_or(BuildError::PythonVersionNotOffered { wanted, offered: Vec::new() })
}
