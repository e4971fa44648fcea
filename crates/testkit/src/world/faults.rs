//! Where the world goes wrong: at the n-th call of any hand, or at the n-th write to the ledger.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing goes wrong.
    None,
    /// The call is refused, as if the hand were away for a moment; the write, as if the disk were full.
    Fail,
    /// The call is carried out twice. A write is not: the ledger does not repeat.
    Repeat,
    /// The control plane dies just before the call or write.
    CrashBefore,
    /// The control plane dies just after it, without hearing the answer.
    CrashAfter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Call,
    Write,
}

/// Counts calls or writes of one control plane, and strikes once. Once the plane has died, nothing of what it still
/// asks is carried out or answered. Clones share the count.
#[derive(Debug, Clone)]
pub struct Faults(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    place: Place,
    fault: Fault,
    at: u64,
    met: AtomicU64,
    struck: AtomicBool,
    dead: watch::Sender<bool>,
}

impl Faults {
    /// Strikes at call number `at`, counted from 1.
    pub fn new(fault: Fault, at: u64) -> Self {
        Self::at_place(Place::Call, fault, at)
    }
    /// Strikes at write number `at`, counted from 1.
    pub fn at_write(fault: Fault, at: u64) -> Self {
        Self::at_place(Place::Write, fault, at)
    }
    pub fn none() -> Self {
        Self::new(Fault::None, 0)
    }
    fn at_place(place: Place, fault: Fault, at: u64) -> Self {
        let (met, struck, dead) = (AtomicU64::new(0), AtomicBool::new(false), watch::Sender::new(false));
        Self(Arc::new(Inner { place, fault, at, met, struck, dead }))
    }

    /// Whether the call or write was met.
    pub fn struck(&self) -> bool {
        self.0.struck.load(Ordering::SeqCst)
    }
    /// Resolves when the control plane is dead: the test drops it and makes a new one over the same world.
    pub async fn crash(&self) {
        let mut dead = self.0.dead.subscribe();
        // The sender lives as long as `self`.
        dead.wait_for(|dead| *dead).await.ok();
    }
    /// The control plane dies here and now.
    pub fn kill(&self) {
        self.0.dead.send_replace(true);
    }

    /// What happens to the next write. `CrashBefore` for all of them once the plane is dead.
    pub fn next_write(&self) -> Fault {
        let fault = self.next(Place::Write);
        if matches!(fault, Fault::CrashBefore | Fault::CrashAfter) {
            self.kill();
        }
        fault
    }
    /// What happens to the next call.
    pub(crate) fn next_call(&self) -> Fault {
        self.next(Place::Call)
    }
    /// Whether the fault is a refusal.
    pub(crate) fn refuses(&self) -> bool {
        self.0.fault == Fault::Fail
    }

    pub(crate) fn is_dead(&self) -> bool {
        *self.0.dead.borrow()
    }

    fn next(&self, place: Place) -> Fault {
        if self.is_dead() {
            return Fault::CrashBefore;
        }
        if place != self.0.place || self.0.met.fetch_add(1, Ordering::SeqCst) + 1 != self.0.at {
            return Fault::None;
        }
        self.0.struck.store(true, Ordering::SeqCst);
        self.0.fault
    }

    /// Dies: tells the test, and never returns.
    pub(crate) async fn die(&self) {
        self.kill();
        std::future::pending::<()>().await;
    }
}

/// Carries out one call of a hand under its fault.
macro_rules! call {
    ($faults:expr, $away:expr, $act:expr) => {{
        match $faults.next_call() {
            $crate::world::Fault::None => $act,
            $crate::world::Fault::Fail => Err($away),
            $crate::world::Fault::Repeat => match $act {
                Ok(_) => $act,
                failed => failed,
            },
            $crate::world::Fault::CrashBefore => {
                $faults.die().await;
                Err($away)
            }
            $crate::world::Fault::CrashAfter => {
                let done = $act;
                drop(done);
                $faults.die().await;
                Err($away)
            }
        }
    }};
}
pub(crate) use call;
