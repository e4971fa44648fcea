//! Request tokens: a pool per API token, that every request with it draws from and that refills with time.

use std::{collections::HashMap, sync::Mutex};

use jiff::Timestamp;
use renga_engine::operations::Caller;
use renga_model::{Fault, Refusal};
use uuid::Uuid;

/// Size of the pool and what flows back in a minute (Heroku: 4,500 and 75).
const POOL_REQUESTS: u32 = 4_500;
const REFILL_REQUESTS_PER_MINUTE: f64 = 75.0;
/// Pools that are remembered. Those that are full again go first: they begin anew as they were.
const POOLS_MAX: usize = 20_000;

#[derive(Default)]
pub(crate) struct Limiter(Mutex<HashMap<Uuid, Pool>>);

#[derive(Clone, Copy)]
struct Pool {
    left: f64,
    at: Timestamp,
}

impl Pool {
    fn left_at(&self, now: Timestamp) -> f64 {
        let minutes = now.duration_since(self.at).as_secs_f64().max(0.0) / 60.0;
        (self.left + minutes * REFILL_REQUESTS_PER_MINUTE).min(f64::from(POOL_REQUESTS))
    }
}

impl Limiter {
    /// Takes `cost` requests from the pool of the token that the caller presented (of his account, if he came with a
    /// password) and tells how many are left.
    pub(crate) fn take(&self, caller: &Caller, cost: u32, now: Timestamp) -> Result<u32, Refusal> {
        let key = caller.token().map_or(caller.account.id.uuid(), |token| token.id.uuid());
        self.take_from(key, cost, now)
    }

    fn take_from(&self, key: Uuid, cost: u32, now: Timestamp) -> Result<u32, Refusal> {
        let mut pools = self.0.lock().expect("nothing panics while it holds this lock");
        if pools.len() >= POOLS_MAX && !pools.contains_key(&key) {
            make_room(&mut pools, now);
        }
        let pool = pools.entry(key).or_insert(Pool { left: f64::from(POOL_REQUESTS), at: now });
        *pool = Pool { left: pool.left_at(now), at: now };
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

/// What is full again is forgotten; if that is not enough, the half that was asked for longest ago.
fn make_room(pools: &mut HashMap<Uuid, Pool>, now: Timestamp) {
    pools.retain(|_, pool| pool.left_at(now) < f64::from(POOL_REQUESTS));
    if pools.len() >= POOLS_MAX {
        let mut times: Vec<Timestamp> = pools.values().map(|pool| pool.at).collect();
        let middle = *times.select_nth_unstable(POOLS_MAX / 2).1;
        pools.retain(|_, pool| pool.at > middle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_runs_dry_and_refills() {
        let (limiter, token) = (Limiter::default(), Uuid::new_v4());
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for left in (0..POOL_REQUESTS).rev() {
            assert_eq!(limiter.take_from(token, 1, start).unwrap(), left);
        }
        assert_eq!(limiter.take_from(token, 1, start).unwrap_err().fault, Fault::RateLimit);
        assert!(limiter.take_from(Uuid::new_v4(), 1, start).is_ok());
        let later = start + jiff::SignedDuration::from_secs(60);
        assert_eq!(limiter.take_from(token, 1, later).unwrap(), 74);
        assert_eq!(limiter.take_from(token, 0, later).unwrap(), 74);
    }

    #[test]
    fn memory_is_bounded() {
        let (limiter, start) = (Limiter::default(), "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap());
        for n in 0..POOLS_MAX + 10 {
            let now = start + jiff::SignedDuration::from_micros(i64::try_from(n).unwrap());
            limiter.take_from(Uuid::from_u128(n as u128), 1, now).unwrap();
        }
        assert!(limiter.0.lock().unwrap().len() <= POOLS_MAX);
    }
}
