//! The guard in front of password checks, which are slow on purpose: few at a time, and fewer still for an e-mail that
//! has just failed often.

use std::{collections::HashMap, sync::Mutex};

use jiff::{SignedDuration, Timestamp};
use renga_engine::{Engine, operations::Caller};
use renga_model::{Fault, Refusal, Secret};
use tokio::sync::Semaphore;

/// Checks that run at one time; each takes a core for tens of milliseconds and 19 MiB.
const CHECKS_MAX: usize = 2;
/// Checks that may wait; more are refused at once.
const WAITING_MAX: usize = 32;
/// Failures after which an e-mail has to wait, and how long they are remembered.
const FAILURES_MAX: u32 = 10;
const FAILURES_KEPT: SignedDuration = SignedDuration::from_mins(15);
/// E-mails whose failures are remembered. When it is full the oldest go: an attacker with that many is slowed by
/// `CHECKS_MAX` anyway.
const EMAILS_MAX: usize = 10_000;

pub(crate) struct Passwords {
    checks: Semaphore,
    waiting: Semaphore,
    failures: Mutex<HashMap<String, Failures>>,
}

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    last: Timestamp,
}

impl Default for Passwords {
    fn default() -> Self {
        let (checks, waiting) = (Semaphore::new(CHECKS_MAX), Semaphore::new(CHECKS_MAX + WAITING_MAX));
        Self { checks, waiting, failures: Mutex::default() }
    }
}

impl Passwords {
    /// `code`: of the second factor, for accounts that have one.
    pub(crate) async fn check(
        &self,
        engine: &Engine,
        email: String,
        password: Secret,
        code: Option<Secret>,
    ) -> Result<Caller, Refusal> {
        let too_often =
            || Refusal::new(Fault::RateLimit, "Too many failed logins. Wait some minutes, then try again.");
        let key = email.to_lowercase();
        if self.failures_of(&key, engine.now()) >= FAILURES_MAX {
            return Err(too_often());
        }
        let busy = |_| Refusal::unavailable("Too many logins at this moment. Try again.");
        let _place = self.waiting.try_acquire().map_err(busy)?;
        let _check = self.checks.acquire().await.map_err(Refusal::internal)?;
        let given = code.is_some();
        let checked = match engine.caller_by_password(email, password).await {
            Ok(caller) => engine.two_factor_check(&caller.account, code).await.map(|()| caller),
            Err(refusal) => Err(refusal),
        };
        match &checked {
            // Only whoever has both begins anew: a known password buys no more guesses at the code.
            Ok(_) => self.forget(&key),
            Err(refusal) if refusal.fault == Fault::Unauthorized => self.failed(key, engine.now()),
            Err(refusal) if refusal.fault == Fault::TwoFactor && given => self.failed(key, engine.now()),
            Err(_) => {}
        }
        checked
    }

    fn failures_of(&self, email: &str, now: Timestamp) -> u32 {
        let failures = self.failures.lock().expect("nothing panics while it holds this lock");
        failures.get(email).filter(|failures| now < failures.last + FAILURES_KEPT).map_or(0, |f| f.count)
    }

    fn forget(&self, email: &str) {
        self.failures.lock().expect("nothing panics while it holds this lock").remove(email);
    }

    fn failed(&self, email: String, now: Timestamp) {
        let mut failures = self.failures.lock().expect("nothing panics while it holds this lock");
        if failures.len() >= EMAILS_MAX && !failures.contains_key(&email) {
            failures.retain(|_, failures| now < failures.last + FAILURES_KEPT);
            let oldest = failures.iter().min_by_key(|(_, f)| f.last).map(|(email, _)| email.clone());
            if let Some(oldest) = oldest.filter(|_| failures.len() >= EMAILS_MAX) {
                failures.remove(&oldest);
            }
        }
        let entry = failures.entry(email).or_insert(Failures { count: 0, last: now });
        let fresh = now >= entry.last + FAILURES_KEPT;
        entry.count = if fresh { 1 } else { entry.count + 1 };
        entry.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_and_forgotten() {
        let (passwords, start) = (Passwords::default(), "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap());
        for _ in 0..FAILURES_MAX {
            passwords.failed("a@b".into(), start);
        }
        assert_eq!(passwords.failures_of("a@b", start), FAILURES_MAX);
        assert_eq!(passwords.failures_of("c@d", start), 0);
        assert_eq!(passwords.failures_of("a@b", start + FAILURES_KEPT), 0);
        passwords.forget("a@b");
        assert_eq!(passwords.failures_of("a@b", start), 0);
    }

    #[test]
    fn memory_is_bounded() {
        let (passwords, start) = (Passwords::default(), "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap());
        for n in 0..EMAILS_MAX + 10 {
            passwords.failed(format!("{n}@x"), start);
        }
        assert!(passwords.failures.lock().unwrap().len() <= EMAILS_MAX);
    }
}
