//! Request tokens per account: a pool that every request draws from and that refills with time.

use std::{collections::HashMap, sync::Mutex};

use jiff::Timestamp;
use renga_model::{AccountId, Fault, Refusal};

/// Size of the pool and what flows back in a minute (Heroku: 4,500 and 75).
const POOL_REQUESTS: u32 = 4_500;
const REFILL_REQUESTS_PER_MINUTE: f64 = 75.0;

/// Holds one entry per account of the installation, so it is as bounded as the accounts are.
#[derive(Default)]
pub(crate) struct Limiter(Mutex<HashMap<AccountId, Pool>>);

struct Pool {
    left: f64,
    at: Timestamp,
}

impl Limiter {
    /// Takes `cost` requests from the account's pool and tells how many are left.
    pub(crate) fn take(&self, account: AccountId, cost: u32, now: Timestamp) -> Result<u32, Refusal> {
        let mut pools = self.0.lock().expect("nothing panics while it holds this lock");
        let pool = pools.entry(account).or_insert(Pool { left: f64::from(POOL_REQUESTS), at: now });
        let minutes = now.duration_since(pool.at).as_secs_f64().max(0.0) / 60.0;
        pool.left = (pool.left + minutes * REFILL_REQUESTS_PER_MINUTE).min(f64::from(POOL_REQUESTS));
        pool.at = now;
        if pool.left < f64::from(cost) {
            return Err(Refusal::new(
                Fault::RateLimit,
                "Your account reached the API rate limit. Please wait a few minutes before making new requests.",
            ));
        }
        pool.left -= f64::from(cost);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // between 0 and POOL_REQUESTS
        Ok(pool.left as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_runs_dry_and_refills() {
        let (limiter, account) = (Limiter::default(), AccountId::random());
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for left in (0..POOL_REQUESTS).rev() {
            assert_eq!(limiter.take(account, 1, start).unwrap(), left);
        }
        assert_eq!(limiter.take(account, 1, start).unwrap_err().fault, Fault::RateLimit);
        assert!(limiter.take(AccountId::random(), 1, start).is_ok());
        let later = start + jiff::SignedDuration::from_secs(60);
        assert_eq!(limiter.take(account, 1, later).unwrap(), 74);
        assert_eq!(limiter.take(account, 0, later).unwrap(), 74);
    }
}
