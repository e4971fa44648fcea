//! Where the world goes wrong: at the n-th call of any hand.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use tokio::sync::Notify;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing goes wrong.
    None,
    /// The call is refused, as if the hand were away for a moment.
    Fail,
    /// The call is carried out twice.
    Repeat,
    /// The control plane dies just before the call.
    CrashBefore,
    /// The control plane dies just after it, without hearing the answer.
    CrashAfter,
}

/// Counts calls, and strikes once. Clones share the count.
#[derive(Debug, Clone)]
pub struct Faults(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    fault: Fault,
    at: u64,
    calls: AtomicU64,
    struck: AtomicBool,
    crashed: Notify,
}

impl Faults {
    /// Strikes at call number `at`, counted from 1.
    pub fn new(fault: Fault, at: u64) -> Self {
        let (calls, struck, crashed) = (AtomicU64::new(0), AtomicBool::new(false), Notify::new());
        Self(Arc::new(Inner { fault, at, calls, struck, crashed }))
    }
    pub fn none() -> Self {
        Self::new(Fault::None, 0)
    }
    /// Whether the call was met.
    pub fn struck(&self) -> bool {
        self.0.struck.load(Ordering::SeqCst)
    }
    /// Resolves when the control plane must die: the test drops it and makes a new one over the same world.
    pub async fn crash(&self) {
        self.0.crashed.notified().await;
    }

    /// Whether the fault is a refusal.
    pub(crate) fn refuses(&self) -> bool {
        self.0.fault == Fault::Fail
    }

    /// What happens to this call.
    pub(crate) fn next(&self) -> Fault {
        let call = self.0.calls.fetch_add(1, Ordering::SeqCst) + 1;
        if call != self.0.at {
            return Fault::None;
        }
        self.0.struck.store(true, Ordering::SeqCst);
        self.0.fault
    }

    /// Dies: tells the test, and never returns.
    pub(crate) async fn die(&self) {
        self.0.crashed.notify_one();
        std::future::pending::<()>().await;
    }
}

/// Carries out one call of a hand under its fault.
macro_rules! call {
    ($faults:expr, $away:expr, $act:expr) => {{
        match $faults.next() {
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
