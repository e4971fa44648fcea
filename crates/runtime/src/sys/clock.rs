//! Whether somebody keeps this machine's clock.

/// `None` when the kernel doesn't say.
pub(crate) fn is_synchronised() -> Option<bool> {
    // SAFETY: zeros are a value of the plain structure; without modes the call only fills it.
    let state = unsafe {
        let mut request: libc::timex = std::mem::zeroed();
        libc::adjtimex(&raw mut request)
    };
    (state >= 0).then_some(state != libc::TIME_ERROR)
}
