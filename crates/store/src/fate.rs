//! What may befall a write request: the seam through which fault tests cut the ledger off at its n-th write.
//!
//! A ledger that was opened with [`Store::open`] has no oracle, and every request is [`Fate::Kept`]; nothing of this
//! can happen to it. A test opens one with [`Store::open_with_oracle`], which is asked once per request, on the writer
//! thread, in the order in which requests are carried out. The fates stand for what a process can meet: its death on
//! either side of a commit, and a disk that takes no more.
//!
//! [`Store::open`]: crate::Store::open
//! [`Store::open_with_oracle`]: crate::Store::open_with_oracle

/// Says what befalls the next write request. It runs on the writer thread and must not wait.
pub(crate) type Oracle = Box<dyn FnMut() -> Fate + Send>;

/// What befalls one write request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is carried out and answered.
    Kept,
    /// It is not carried out, and answered as if the disk were full.
    Refused,
    /// The process dies before the commit: it is not carried out, and its caller waits for ever.
    DiesBefore,
    /// The process dies after the commit: it is carried out, and its caller waits for ever.
    DiesAfter,
}
