//! The freezer: the group of the dyno's own processes is halted whole, in version 1 by the controller of that name, in
//! version 2 by a file that every group has. The supervisor is in another group, and goes on.

use std::{
    fs, io,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use renga_model::DynoId;

use super::{Cgroups, Version};
use crate::error::{Doing, HandError, Result};

/// A process freezes when it next returns from the kernel, which takes longer while a disk is slow.
const FREEZE_TIMEOUT: Duration = Duration::from_secs(1);
const FREEZE_PAUSE: Duration = Duration::from_micros(200);

impl Cgroups {
    /// Returns when every process is halted. When some is not in time, all go on and it is an error.
    pub(crate) fn freeze(&self, dyno: DynoId) -> Result<()> {
        let refused = || HandError::Refused(format!("dyno {dyno} has no group with a freezer"));
        let (file, order) = self.freezer_file(dyno).ok_or_else(refused)?;
        match fs::write(&file, order.frozen) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(refused()),
            written => written.doing("write", file.display())?,
        }
        let deadline = Instant::now() + FREEZE_TIMEOUT;
        while !self.is_halted(&file) {
            if Instant::now() > deadline {
                self.thaw(dyno)?;
                let why = format!("processes of dyno {dyno} do not freeze within {FREEZE_TIMEOUT:?}");
                return Err(HandError::Refused(why));
            }
            thread::sleep(FREEZE_PAUSE);
        }
        Ok(())
    }

    /// A dyno that has no group, or none that can be frozen, is not frozen.
    pub(crate) fn thaw(&self, dyno: DynoId) -> Result<()> {
        let Some((file, order)) = self.freezer_file(dyno) else { return Ok(()) };
        match fs::write(&file, order.thawed) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            written => written.doing("write", file.display()),
        }
    }

    /// Whether it was told to freeze and not to thaw since, by whichever node.
    pub(crate) fn is_frozen(&self, dyno: DynoId) -> bool {
        let Some((file, order)) = self.freezer_file(dyno) else { return false };
        fs::read_to_string(file).is_ok_and(|state| state.trim() != order.thawed)
    }

    fn is_halted(&self, file: &PathBuf) -> bool {
        match self.version {
            Version::One => fs::read_to_string(file).is_ok_and(|state| state.trim() == "FROZEN"),
            Version::Two => fs::read_to_string(file.with_file_name("cgroup.events"))
                .is_ok_and(|events| events.lines().any(|line| line == "frozen 1")),
        }
    }

    fn freezer_file(&self, dyno: DynoId) -> Option<(PathBuf, Order)> {
        let mut roots = self.roots.iter();
        let (root, name, order) = match self.version {
            Version::One => {
                let root = roots.find(|root| root.ends_with("freezer"))?;
                (root, "freezer.state", Order { frozen: "FROZEN", thawed: "THAWED" })
            }
            Version::Two => (roots.next()?, "cgroup.freeze", Order { frozen: "1", thawed: "0" }),
        };
        Some((root.join(self.of(dyno)).join("app").join(name), order))
    }
}

/// What is written into the file.
struct Order {
    frozen: &'static str,
    thawed: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_found_in_either_version() {
        let cgroups = |version, roots: &[&str]| Cgroups {
            version,
            roots: roots.iter().map(PathBuf::from).collect(),
            parent: "renga-t".into(),
        };
        let id = DynoId::random();
        let file = |cgroups: &Cgroups| cgroups.freezer_file(id).map(|(file, _)| file);
        let one = cgroups(Version::One, &["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/freezer"]);
        assert_eq!(file(&one), Some(format!("/sys/fs/cgroup/freezer/renga-t/{id}/app/freezer.state").into()));
        let two = cgroups(Version::Two, &["/sys/fs/cgroup"]);
        assert_eq!(file(&two), Some(format!("/sys/fs/cgroup/renga-t/{id}/app/cgroup.freeze").into()));
        let none = cgroups(Version::One, &["/sys/fs/cgroup/cpu"]);
        assert_eq!(file(&none), None);
        assert!(none.freeze(id).is_err() && none.thaw(id).is_ok() && !none.is_frozen(id));
    }
}
