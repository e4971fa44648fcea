//! One turn of waiting: who wants what, and who got it.

use std::{
    os::fd::AsFd,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    io::Errno,
};

/// A descriptor's place in this turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked(usize);

#[derive(Debug, Default)]
pub(crate) struct Poll<'a> {
    fds: Vec<PollFd<'a>>,
    deadline: Option<Instant>,
}

/// What came of it: anything at all at a place, errors and ends included, which the next read or write finds.
#[derive(Debug)]
pub(crate) struct Ready(Vec<bool>);

impl<'a> Poll<'a> {
    pub(crate) fn readable(&mut self, fd: &'a impl AsFd) -> Asked {
        self.ask(fd, PollFlags::IN)
    }

    pub(crate) fn ask(&mut self, fd: &'a impl AsFd, flags: PollFlags) -> Asked {
        self.fds.push(PollFd::new(fd, flags));
        Asked(self.fds.len() - 1)
    }

    /// Wakes at this time at the latest.
    pub(crate) fn until(&mut self, at: Instant) {
        self.deadline = Some(self.deadline.map_or(at, |deadline| deadline.min(at)));
    }

    pub(crate) fn wait(mut self) -> Ready {
        // A millisecond more than left, rather than less: no turn for nothing.
        let left = self.deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let left = left.map(|left| if left.is_zero() { left } else { left + Duration::from_millis(1) });
        let timeout = left.map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        // Interrupted or failed, nothing is ready, and the loop looks again.
        match rustix::event::poll(&mut self.fds, timeout.as_ref()) {
            Ok(_) => Ready(self.fds.iter().map(|fd| !fd.revents().is_empty()).collect()),
            Err(_) => Ready(vec![false; self.fds.len()]),
        }
    }
}

impl Ready {
    pub(crate) fn at(&self, asked: Asked) -> bool {
        self.0[asked.0]
    }
}

pub(crate) enum Read {
    Bytes(usize),
    Nothing,
    End,
}

/// A terminal whose last user is gone answers EIO: that is its end.
pub(crate) fn read_some(fd: &impl AsFd, into: &mut [u8]) -> Read {
    match rustix::io::read(fd, into) {
        Ok(0) => Read::End,
        Ok(bytes) => Read::Bytes(bytes),
        Err(Errno::AGAIN | Errno::INTR) => Read::Nothing,
        Err(_) => Read::End,
    }
}
