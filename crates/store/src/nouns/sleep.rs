//! Sleep: which apps sleep, and since when. An app without a row is awake.

use jiff::Timestamp;
use renga_model::AppId;
use rusqlite::params;

use crate::{
    Read, StoreError, Tx,
    row::{Cells, bytes, micros},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sleep {
    pub app: AppId,
    pub asleep: bool,
    /// Until then its web dynos are kept frozen; none: they are stopped.
    pub frozen_until: Option<Timestamp>,
    /// When it fell asleep, or was last kept awake by something that its users did.
    pub since: Timestamp,
}

impl Read<'_> {
    pub fn sleep_fetch(&self, app: AppId) -> Result<Option<Sleep>, StoreError> {
        self.first("fetch an app's sleep", "SELECT * FROM sleep WHERE app = ?1", [bytes(app)], sleep)
    }

    /// Apps whose dynos are kept frozen at `now`, those that fell asleep first before others.
    pub fn sleep_list_frozen(&self, now: Timestamp) -> Result<Vec<Sleep>, StoreError> {
        let sql = "SELECT * FROM sleep WHERE asleep = 1 AND frozen_until > ?1 ORDER BY since, app";
        self.all("list apps that are frozen", sql, [micros(now)], sleep)
    }
}

impl Tx<'_> {
    pub fn sleep_put(&self, sleep: Sleep) -> Result<(), StoreError> {
        self.change(
            "put an app's sleep",
            "INSERT INTO sleep (app, asleep, since, frozen_until) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (app) DO UPDATE SET
                asleep = excluded.asleep, since = excluded.since, frozen_until = excluded.frozen_until",
            params![bytes(sleep.app), sleep.asleep, micros(sleep.since), sleep.frozen_until.map(micros)],
        )
        .map(drop)
    }

    /// Its users did something: it is awake, and stays so for a while. (A new release, a restart, another formation.)
    pub fn sleep_end(&self, app: AppId, now: Timestamp) -> Result<(), StoreError> {
        self.sleep_put(Sleep { app, asleep: false, frozen_until: None, since: now })
    }
}

fn sleep(c: &Cells<'_>) -> Result<Sleep, StoreError> {
    Ok(Sleep {
        app: c.id("app")?,
        asleep: c.get("asleep")?,
        frozen_until: c.time_opt("frozen_until")?,
        since: c.time("since")?,
    })
}
