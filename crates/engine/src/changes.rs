//! A bell for those who wait for a row: look, wait, look again.

use tokio::sync::watch;

#[derive(Debug)]
pub struct Changes(watch::Sender<u64>);

impl Default for Changes {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Changes {
    pub fn tell(&self) {
        self.0.send_modify(|count| *count += 1);
    }
    /// Subscribe first, then look at the rows, then wait on `changed()`: nothing is missed.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}
