//! The outbox: lines that were said with changes are brought to the log, in order, and then cleared away. Being killed
//! in between brings a line again, and the log knows it by its number.

use std::time::Duration;

use renga_model::Refusal;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{Engine, error};

/// Lines of one look.
const LINES_MAX: usize = 500;
/// Between two looks that nobody rang for.
const SWEEP: Duration = Duration::from_secs(5);
/// After a look that failed.
const PAUSE: Duration = Duration::from_millis(500);
/// What is told may stay so long: clearing costs a commit, and one for many lines does.
const CLEAR_EVERY: Duration = Duration::from_secs(2);

pub(crate) async fn run(engine: Engine, cancel: CancellationToken) {
    let work = async {
        let mut outbox = Outbox { engine: &engine, told: 0, cleared: 0, cleared_at: Instant::now() };
        loop {
            let pause = match outbox.look().await {
                Ok(pause) => pause,
                Err(failed) => {
                    let context = failed.context.as_deref().unwrap_or_default();
                    tracing::warn!("lines of the platform wait in the outbox: {failed} {context}");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            // Either way the next look is at everything.
            drop(tokio::time::timeout(pause, engine.store.outbox_filled()).await);
        }
    };
    cancel.run_until_cancelled(work).await;
}

struct Outbox<'a> {
    engine: &'a Engine,
    /// The highest number that the log has taken from us.
    told: u64,
    /// The highest number that is gone from the outbox, and since when.
    cleared: u64,
    cleared_at: Instant,
}

impl Outbox<'_> {
    /// Brings what there is, and clears away what the log has if that is due. Returns for how long to wait for more.
    async fn look(&mut self) -> Result<Duration, Refusal> {
        let (store, after) = (&self.engine.store, self.told);
        let lines = store.read(move |read| read.outbox_after(after, LINES_MAX).map_err(error::store)).await?;
        let more = lines.len() == LINES_MAX;
        if let Some(last) = lines.last() {
            let last = last.number;
            self.engine.logs.tell(lines).await.map_err(error::logs)?;
            self.told = last;
        }
        let told = self.told;
        let clear_in = CLEAR_EVERY.saturating_sub(self.cleared_at.elapsed());
        if self.cleared < told && clear_in.is_zero() {
            store.write(move |tx| tx.outbox_clear(told).map_err(error::store)).await?;
            (self.cleared, self.cleared_at) = (told, Instant::now());
        }
        Ok(match () {
            () if more => Duration::ZERO,
            () if self.cleared < told => clear_in,
            () => SWEEP,
        })
    }
}
