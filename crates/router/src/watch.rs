//! A deadline that moves with every byte, at the cost of a timer that moves seldom.
//!
//! The timer is set again only when the deadline has come nearer, or when it runs out and finds the deadline further
//! away: a connection that is always busy touches it twice a minute.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use tokio::time::{Sleep, sleep_until};

#[derive(Debug, Default)]
pub(crate) struct Watch {
    timer: Option<(Pin<Box<Sleep>>, Instant)>,
    /// The timer has run out before the deadline at least once since this was last taken.
    lasted: bool,
}

impl Watch {
    /// Ready when `deadline` has passed. Each time it is asked, the deadline may be another.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let (timer, set_for) =
            self.timer.get_or_insert_with(|| (Box::pin(sleep_until(deadline.into())), deadline));
        if deadline < *set_for {
            timer.as_mut().reset(deadline.into());
            *set_for = deadline;
        }
        while timer.as_mut().poll(cx).is_ready() {
            if deadline <= Instant::now() {
                return Poll::Ready(());
            }
            self.lasted = true;
            timer.as_mut().reset(deadline.into());
            *set_for = deadline;
        }
        Poll::Pending
    }

    /// Whether what is being watched has lasted for a while.
    pub(crate) fn take_lasted(&mut self) -> bool {
        std::mem::take(&mut self.lasted)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use super::*;

    #[tokio::test]
    async fn the_deadline_counts_and_not_the_timer() {
        let mut watch = Watch::default();
        let begun = Instant::now();
        let far = begun + Duration::from_secs(60);
        poll_fn(|cx| {
            assert!(watch.poll(cx, far).is_pending());
            Poll::Ready(())
        })
        .await;
        // Nearer than the timer was set for.
        poll_fn(|cx| watch.poll(cx, begun + Duration::from_millis(20))).await;
        assert!((20..5_000).contains(&begun.elapsed().as_millis()));
        assert!(!watch.take_lasted());
        // It runs out while the deadline moves away.
        let mut looks = 0;
        let last = Instant::now() + Duration::from_millis(60);
        poll_fn(|cx| {
            looks += 1;
            let deadline = (Instant::now() + Duration::from_millis(10)).min(last);
            watch.poll(cx, deadline)
        })
        .await;
        assert!(Instant::now() >= last && watch.take_lasted() && !watch.take_lasted());
    }
}
