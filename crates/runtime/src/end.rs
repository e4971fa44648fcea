//! Recording how a dyno ended, and taking away what it had.

use std::{fs, io, path::Path};

use jiff::Timestamp;
use renga_model::{DynoId, Exit, ExitReason};
use renga_supervision::DynoDirectory;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Signal, pidfd_send_signal},
};

use crate::{
    config::LINGER_TIMEOUT,
    error::{Doing, Result, chain, gone_is_fine, tell},
    hand::Inner,
    mounts,
    sys::ext4,
    table::Entry,
};

impl Inner {
    /// Records an exit that no supervisor has written.
    pub(crate) fn end(&self, entry: &Entry, reason: ExitReason) {
        let exit = Exit::new(1, reason, Timestamp::now());
        let directory = DynoDirectory::new(self.paths.dyno(entry.label.id).directory());
        if let Err(error) = directory.write_exit(&exit) {
            // The next start of the node finds neither a supervisor nor an exit, and tries again.
            tracing::error!(dyno.id = %entry.label.id, "{}", chain(&error));
        }
        self.record_exit(entry, exit);
    }

    pub(crate) fn record_exit(&self, entry: &Entry, exit: Exit) {
        tracing::info!(dyno.id = %entry.label.id, dyno.name = %entry.label.name, exit.code = exit.code, "a dyno exited");
        entry.set_exited(exit);
        self.note_change();
    }

    /// Everything of an exited dyno, its directory last.
    pub(crate) fn free(&self, entry: &Entry) -> Result<()> {
        self.release(entry)?;
        let folder = self.paths.dyno(entry.label.id).directory().to_owned();
        gone_is_fine(fs::remove_dir_all(&folder), "remove", &folder)
    }

    /// Processes, cgroups, mounts and interfaces; what it wrote down and logged stays.
    pub(crate) fn release(&self, entry: &Entry) -> Result<()> {
        let id = entry.label.id;
        let dyno = self.paths.dyno(id);
        self.end_supervisor(id)?;
        self.cgroups.kill_all(id)?;
        self.cgroups.remove(id)?;
        self.drop_disk(&dyno.disk());
        mounts::detach_below(dyno.directory())?;
        self.network.disconnect(entry.plan.index)?;
        gone_is_fine(fs::remove_file(dyno.disk_image()), "remove", &dyno.disk_image())
    }

    /// It writes `exit.json` last of all; what still runs a little later is stuck.
    fn end_supervisor(&self, id: DynoId) -> Result<()> {
        let Some(handle) = self.cgroups.supervisor(id) else { return Ok(()) };
        let mut polled = [PollFd::new(&handle, PollFlags::IN)];
        let patience = Timespec::try_from(LINGER_TIMEOUT).ok();
        if poll(&mut polled, patience.as_ref()).doing("wait for", "a supervisor")? == 0 {
            // It may end in this very moment.
            pidfd_send_signal(&handle, Signal::KILL).ok();
            poll(&mut polled, patience.as_ref()).doing("wait for", "a supervisor")?;
        }
        Ok(())
    }

    /// Nobody will read what the disk has not written yet.
    fn drop_disk(&self, disk: &Path) {
        let Ok(root) = fs::File::open(disk) else { return };
        // An empty mount point is on the machine's own file system, which must not be touched.
        let is_ours =
            mounts::below(disk.parent().unwrap_or(disk)).is_ok_and(|list| list.iter().any(|p| p == disk));
        if !is_ours {
            return;
        }
        if let Err(error) = ext4::shut_down(&root) {
            tracing::debug!(%error, "could not shut a disk down; unmounting writes it");
        }
        let device = rustix::fs::fstat(&root).map_err(io::Error::from).doing("look at", disk.display());
        tell(device.and_then(|status| self.cgroups.free_writes(status.st_dev)));
    }
}
