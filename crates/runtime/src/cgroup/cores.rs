//! Which cores a dyno may use, and how often it ran into its limit of processes.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use renga_model::DynoId;

use super::{Cgroups, Version};
use crate::error::{Result, gone_is_fine};

const FILE: &str = "cpuset.cpus";

impl Cgroups {
    /// How many processes it has been refused. None where the kernel does not tell.
    pub(crate) fn refused_processes(&self, dyno: DynoId) -> Option<u64> {
        let mut roots = self.roots.iter();
        let root = match self.version {
            Version::One => roots.find(|root| root.ends_with("pids"))?,
            Version::Two => roots.next()?,
        };
        let events = fs::read_to_string(root.join(self.of(dyno)).join("app/pids.events")).ok()?;
        events.lines().find_map(|line| line.strip_prefix("max ")?.trim().parse().ok())
    }

    /// Whether the dyno has one core only.
    pub(crate) fn has_one_core(&self, dyno: DynoId) -> bool {
        let cores = self.cores_file(dyno).and_then(|file| fs::read_to_string(file).ok());
        let all = self.all_cores();
        cores.zip(all).is_some_and(|(cores, all)| Some(cores.trim()) == last_core(&all).as_deref())
    }

    /// Leaves it the machine's last core, or gives it all of them back. Whether the machine has more than one, and can do
    /// so.
    pub(crate) fn set_one_core(&self, dyno: DynoId, only: bool) -> Result<bool> {
        let (Some(file), Some(all)) = (self.cores_file(dyno), self.all_cores()) else { return Ok(false) };
        let Some(last) = last_core(&all) else { return Ok(false) };
        let cores = if only { last } else { all };
        match fs::write(&file, format!("{cores}\n")) {
            // The controller is not handed down to us here.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(false),
            // Or the dyno has gone.
            other => gone_is_fine(other, "choose the cores in", &file).map(|()| true),
        }
    }

    fn cores_file(&self, dyno: DynoId) -> Option<PathBuf> {
        let group = self.cpuset()?.join(self.of(dyno));
        let file = match self.version {
            // Where the container library put it.
            Version::One => group.join("app").join(FILE),
            Version::Two => group.join(FILE),
        };
        file.exists().then_some(file)
    }

    fn cpuset(&self) -> Option<&Path> {
        let mut roots = self.roots.iter();
        let root = match self.version {
            Version::One => roots.find(|root| root.ends_with("cpuset"))?,
            Version::Two => roots.next()?,
        };
        Some(root)
    }

    fn all_cores(&self) -> Option<String> {
        let name = match self.version {
            Version::One => "cpuset.effective_cpus",
            Version::Two => "cpuset.cpus.effective",
        };
        let all = fs::read_to_string(self.cpuset()?.join(&self.parent).join(name)).ok()?;
        Some(all.trim().to_owned())
    }
}

/// Of a list such as `0-3,5`; none if it has no other.
fn last_core(all: &str) -> Option<String> {
    let several = all.contains(['-', ',']);
    let last = all.rsplit(['-', ',']).next()?;
    (several && !last.is_empty()).then(|| last.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_several_cores() {
        for (all, last) in
            [("0-1", Some("1")), ("0-3,5", Some("5")), ("0,2", Some("2")), ("0", None), ("", None)]
        {
            assert_eq!(last_core(all).as_deref(), last, "{all}");
        }
    }
}
