//! The server's end of the hook socket: from a token to verdicts.
//!
//! ```text
//! greeting ─token known─> judged ─staged─> at the gate ─verdicts─> answered ─> unstaged
//!     └─unknown──> closed    └─all refused by git's own rules─────────^
//! ```

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use renga_ports::{PushGate, PushRequest, RefUpdate, RefVerdict};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;

use crate::{
    GitStore,
    hook::PROGRESS,
    packet::{self, PAYLOAD_BYTES_MAX, Packet},
    push::Pusher,
    store::cut,
};

/// How long a hook may take to say what it wants.
const GREETING_TIME_MAX: Duration = Duration::from_secs(30);
/// Chunks of terminal output between the gate and a slow pusher.
const PROGRESS_CHUNKS_MAX: usize = 256;
/// What is shown of a verdict; the rest would only fill the terminal.
const VERDICT_BYTES_MAX: usize = 1_000;
const ABSENT: &str = "0000000000000000000000000000000000000000";

impl GitStore {
    /// Answers hooks until `stop`. Gate calls that are under way then go on, on the tracker of the configuration.
    pub async fn serve_hooks(
        &self,
        listener: UnixListener,
        gate: Arc<dyn PushGate>,
        stop: CancellationToken,
    ) {
        loop {
            let accepted = tokio::select! {
                biased;
                // Shutdown: no new pushes.
                () = stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, _)) => {
                    let (store, gate) = (self.clone(), gate.clone());
                    self.tasks().spawn(async move { store.answer_hook(socket, gate).await });
                }
                Err(error) => {
                    tracing::warn!(error = %error, "could not accept a push hook");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn answer_hook(&self, socket: UnixStream, gate: Arc<dyn PushGate>) {
        let (mut from, to) = socket.into_split();
        let greeting = tokio::time::timeout(GREETING_TIME_MAX, self.read_greeting(&mut from)).await;
        let (pusher, updates) = match greeting {
            Ok(Ok(greeting)) => greeting,
            Ok(Err(error)) => return tracing::warn!(error = %error, "refused a push hook"),
            Err(_) => return tracing::warn!("a push hook said nothing"),
        };
        tracing::info!(app.id = %pusher.app, refs = updates.len(), "a push has arrived");
        self.decide(pusher, updates, gate, from, to).await;
    }

    async fn read_greeting(&self, from: &mut OwnedReadHalf) -> std::io::Result<(Pusher, Vec<RefUpdate>)> {
        let wrong = |what: &'static str| std::io::Error::new(std::io::ErrorKind::InvalidData, what);
        let Packet::Data(token) = packet::read_async(from).await? else { return Err(wrong("no token")) };
        let token = String::from_utf8(token).map_err(|_| wrong("no token"))?;
        let pusher = self.pushes().take(&token).ok_or_else(|| wrong("the push token is not known"))?;
        let mut updates = Vec::new();
        while let Packet::Data(command) = packet::read_async(from).await? {
            if updates.len() == self.limits().refs_per_push_max {
                return Err(wrong("too many refs in one push"));
            }
            // A name that is not UTF-8 cannot be a branch that we deploy; the hook then refuses the whole push.
            let command = String::from_utf8(command).map_err(|_| wrong("a ref name is not UTF-8"))?;
            updates.push(parse_update(&command).ok_or_else(|| wrong("not a ref update"))?);
        }
        Ok((pusher, updates))
    }

    async fn decide(
        &self,
        pusher: Pusher,
        updates: Vec<RefUpdate>,
        gate: Arc<dyn PushGate>,
        from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
    ) {
        let (mut verdicts, open) = self.judge(pusher, updates).await;
        if !open.is_empty() {
            let (progress, shown) = mpsc::channel(PROGRESS_CHUNKS_MAX);
            let (store, work) = (self.clone(), open.clone());
            // A task of its own: the pusher may leave, the work goes on.
            let decided =
                self.tasks().spawn(async move { store.pass_gate(pusher, work, gate, progress).await });
            relay_progress(shown, from, &mut to).await;
            verdicts.extend(decided.await.unwrap_or_else(|error| {
                tracing::error!(error = %error, "the push gate failed");
                refuse(&open, "internal error; the operator's log has the cause")
            }));
        }
        if let Err(error) = to.write_all(&report(&verdicts)).await {
            tracing::debug!(error = %error, "the pusher has gone before the verdict");
        }
    }

    /// Git's own rules, which receive-pack leaves to the hook. What stays open is for the gate.
    async fn judge(&self, pusher: Pusher, updates: Vec<RefUpdate>) -> (Vec<RefVerdict>, Vec<RefUpdate>) {
        let (mut verdicts, mut open) = (Vec::new(), Vec::new());
        for update in updates {
            let refused = if update.new == ABSENT {
                // The branch is the record of what was deployed, and no app runs without one.
                Some("deletion prohibited".to_owned())
            } else {
                match self.ref_value(pusher.app, &update.name).await {
                    Ok(now) if now.as_deref().unwrap_or(ABSENT) == update.old => None,
                    // These very words make the client explain what to do, as when it finds out itself.
                    Ok(_) => Some("fetch first".to_owned()),
                    Err(error) => {
                        tracing::error!(error = %error, app.id = %pusher.app, "could not read a ref");
                        Some("internal error".to_owned())
                    }
                }
            };
            match refused {
                Some(text) => verdicts.push(RefVerdict { name: update.name, refused: Some(text) }),
                None => open.push(update),
            }
        }
        (verdicts, open)
    }

    async fn pass_gate(
        &self,
        pusher: Pusher,
        updates: Vec<RefUpdate>,
        gate: Arc<dyn PushGate>,
        progress: mpsc::Sender<Bytes>,
    ) -> Vec<RefVerdict> {
        let objects: BTreeSet<String> = updates.iter().map(|update| update.new.clone()).collect();
        objects.iter().for_each(|object| self.pushes().stage(pusher.app, object));
        let verdicts = match self.staging_refs_create(pusher.app, &objects).await {
            Ok(()) => {
                let request =
                    PushRequest { app: pusher.app, pusher: pusher.account, updates: updates.clone() };
                complete(&updates, gate.push(request, progress).await)
            }
            Err(error) => {
                tracing::error!(error = %error, app.id = %pusher.app, "could not keep pushed objects");
                refuse(&updates, "internal error: the objects could not be kept")
            }
        };
        let idle = objects.into_iter().filter(|object| self.pushes().unstage(pusher.app, object)).collect();
        if let Err(error) = self.staging_refs_remove(pusher.app, &idle).await {
            tracing::warn!(error = %error, app.id = %pusher.app, "could not remove staging refs");
        }
        self.collect_soon(pusher.app);
        verdicts
    }
}

/// Until the gate closes its side, or the pusher its own.
async fn relay_progress(mut shown: mpsc::Receiver<Bytes>, mut from: OwnedReadHalf, to: &mut OwnedWriteHalf) {
    let mut nothing = [0; 1];
    loop {
        let chunk = tokio::select! {
            biased;
            chunk = shown.recv() => chunk,
            // The hook says nothing more: anything here is its end.
            _ = from.read(&mut nothing) => return,
        };
        let Some(chunk) = chunk else { return };
        let mut packets = Vec::with_capacity(chunk.len() + 8);
        for part in chunk.chunks(PAYLOAD_BYTES_MAX - 1) {
            packet::push_data(&mut packets, &[&[PROGRESS], part].concat());
        }
        if to.write_all(&packets).await.is_err() {
            return;
        }
    }
}

fn parse_update(command: &str) -> Option<RefUpdate> {
    let mut words = command.splitn(3, ' ');
    let (old, new, name) = (words.next()?, words.next()?, words.next()?);
    let object = |text: &str| text.len() == ABSENT.len() && text.bytes().all(|b| b.is_ascii_hexdigit());
    let fits = object(old) && object(new) && name.starts_with("refs/");
    fits.then(|| RefUpdate { name: name.into(), old: old.into(), new: new.into() })
}

/// Exactly one verdict for each update, whatever the gate returned.
fn complete(updates: &[RefUpdate], verdicts: Vec<RefVerdict>) -> Vec<RefVerdict> {
    let verdict = |update: &RefUpdate| {
        let given = verdicts.iter().find(|verdict| verdict.name == update.name);
        given.cloned().unwrap_or_else(|| RefVerdict {
            name: update.name.clone(),
            refused: Some("internal error: no decision was made".into()),
        })
    };
    updates.iter().map(verdict).collect()
}

fn refuse(updates: &[RefUpdate], text: &str) -> Vec<RefVerdict> {
    let verdict = |update: &RefUpdate| RefVerdict { name: update.name.clone(), refused: Some(text.into()) };
    updates.iter().map(verdict).collect()
}

fn report(verdicts: &[RefVerdict]) -> Vec<u8> {
    let mut packets = Vec::new();
    for verdict in verdicts {
        let line = match &verdict.refused {
            None => format!("ok {}", verdict.name),
            Some(text) => format!("ng {} {}", verdict.name, one_line(text)),
        };
        packet::push_data(&mut packets, line.as_bytes());
    }
    packet::push_flush(&mut packets);
    packets
}

/// The protocol has one line for a reason, and git shows it as it is.
fn one_line(text: &str) -> String {
    cut(text, VERDICT_BYTES_MAX).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_are_parsed_at_the_door() {
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        let update = parse_update(&format!("{a} {b} refs/heads/main")).unwrap();
        assert_eq!((update.old, update.new, update.name.as_str()), (a.clone(), b.clone(), "refs/heads/main"));
        for bad in [format!("{a} {b}"), format!("{a} {b} main"), format!("-x {b} refs/heads/main"), "".into()]
        {
            assert!(parse_update(&bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn every_update_gets_one_verdict_of_one_line() {
        let update = |name: &str| RefUpdate { name: name.into(), old: ABSENT.into(), new: "c".repeat(40) };
        let given =
            vec![RefVerdict { name: "refs/heads/a".into(), refused: Some("no\nway\u{1b}[1m".into()) }];
        let verdicts = complete(&[update("refs/heads/a"), update("refs/heads/b")], given);
        let text = String::from_utf8(report(&verdicts)).unwrap();
        assert!(text.contains("ng refs/heads/a no way [1m"), "{text}");
        assert!(text.contains("ng refs/heads/b internal error"), "{text}");
        assert!(text.ends_with("0000"));
    }
}
