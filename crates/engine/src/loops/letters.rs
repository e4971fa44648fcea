//! Letters: what waits is brought to the mail server, again and again until it is taken or nobody needs it any more.
//! A letter may arrive twice: when we die between its taking and our noting that.

use std::time::Duration;

use renga_model::{LetterId, Refusal};
use renga_ports::Letter;

use crate::{
    Engine,
    driver::{Loop, Next},
    error,
    wakes::Bell,
};

/// Between attempts: this after the first, twice as long after each, up to the longest.
const PAUSE_FIRST: Duration = Duration::from_secs(10);
const PAUSE_MAX: Duration = Duration::from_secs(15 * 60);

pub(crate) struct Letters {
    engine: Engine,
}

impl Letters {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { engine }
    }

    async fn drop_letter(&self, id: LetterId) -> Result<Next, Refusal> {
        self.engine.store.write(move |tx| tx.letter_delete(id).map_err(Refusal::from)).await?;
        Ok(Next::Rest)
    }
}

impl Loop for Letters {
    type Key = LetterId;
    const NAME: &'static str = "letter";

    fn passes_max(&self) -> usize {
        2
    }
    fn period(&self) -> Duration {
        Duration::from_secs(60)
    }
    fn bell(&self) -> &Bell<LetterId> {
        &self.engine.wake.letters
    }
    async fn scan(&self) -> Result<Vec<LetterId>, Refusal> {
        self.engine.store.read(|read| read.letter_ids().map_err(error::store)).await
    }
    async fn pass(&self, id: LetterId) -> Result<Next, Refusal> {
        let engine = &self.engine;
        let found = engine.store.read(move |read| read.letter_find(id).map_err(Refusal::from)).await?;
        let (Some(stored), now) = (found, engine.now()) else { return Ok(Next::Rest) };
        let Some(mail) = engine.mail.as_ref().filter(|_| now < stored.expires_at) else {
            tracing::warn!(letter.subject = stored.subject, "a letter was given up: nobody took it in time");
            return self.drop_letter(id).await;
        };
        let letter = Letter { to: stored.recipient, subject: stored.subject, text: stored.text };
        match mail.send(&letter).await {
            Ok(()) => self.drop_letter(id).await,
            Err(failed) if failed.permanent => {
                tracing::error!(letter.subject = letter.subject, "a letter was given up: {failed}");
                self.drop_letter(id).await
            }
            Err(failed) => {
                let pause = pause(stored.attempts);
                tracing::warn!(letter.subject = letter.subject, pause_s = pause.as_secs(), "{failed}");
                engine.store.write(move |tx| tx.letter_tried(id).map_err(Refusal::from)).await?;
                Ok(Next::Again(pause))
            }
        }
    }
}

fn pause(attempts: u32) -> Duration {
    PAUSE_FIRST.saturating_mul(2_u32.saturating_pow(attempts)).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        assert_eq!([0, 1, 2, 7, 1_000].map(|n| pause(n).as_secs()), [10, 20, 40, 900, 900]);
    }
}
