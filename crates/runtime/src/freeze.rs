//! Frozen dynos: halted, thawed, and let to run for a moment now and then.
//!
//! Many servers watch their processes by the clock, which goes on: a gunicorn master kills a worker that gave no sign
//! for 30 s, and after ten minutes in the freezer none has. So every two seconds all that is frozen may run for a
//! moment. That is one hundredth of the time, and enough for a sign.

use std::{
    sync::{PoisonError, atomic::Ordering},
    thread,
};

use crate::{
    config::BREATH,
    error::{HandError, Result, tell},
    hand::Inner,
    table::Entry,
};

impl Inner {
    pub(crate) fn freeze(&self, entry: &Entry) -> Result<()> {
        let _one_at_a_time = entry.freezer.lock().unwrap_or_else(PoisonError::into_inner);
        if entry.has_exited() || entry.stop.borrow().is_some() {
            return Err(HandError::Refused(format!("dyno {} is ending", entry.label.id)));
        }
        self.cgroups.freeze(entry.label.id)?;
        entry.frozen.store(true, Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn thaw(&self, entry: &Entry) -> Result<()> {
        let _one_at_a_time = entry.freezer.lock().unwrap_or_else(PoisonError::into_inner);
        self.cgroups.thaw(entry.label.id)?;
        entry.frozen.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Lets everything that is frozen run for a moment. Whatever is thawed for good meanwhile stays so.
    pub(crate) fn breathe(&self) -> Result<()> {
        let mut frozen = self.table().all();
        frozen.retain(|entry| entry.frozen.load(Ordering::Relaxed));
        if frozen.is_empty() {
            return Ok(());
        }
        for entry in &frozen {
            tell(self.let_run(entry, true));
        }
        thread::sleep(BREATH);
        for entry in &frozen {
            tell(self.let_run(entry, false));
        }
        Ok(())
    }

    fn let_run(&self, entry: &Entry, runs: bool) -> Result<()> {
        let _one_at_a_time = entry.freezer.lock().unwrap_or_else(PoisonError::into_inner);
        let id = entry.label.id;
        match entry.frozen.load(Ordering::Relaxed) && !entry.has_exited() {
            true if runs => self.cgroups.thaw(id),
            true => self.cgroups.freeze(id),
            false => Ok(()),
        }
    }
}
