//! Logs and outputs in memory. Streams follow what is written later, as the port promises.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use renga_model::{AppId, DynoId, LogFilter, LogLine, NumberedLine};
use renga_ports::{LogEntry, LogStream, Logs, LogsError, OutputInfo, OutputStream};
use tokio::sync::watch;

#[derive(Debug, Default)]
pub struct SimLogs {
    apps: Mutex<BTreeMap<AppId, watch::Sender<Vec<LogEntry>>>>,
    outputs: Mutex<BTreeMap<String, watch::Sender<Output>>>,
    /// Numbers of lines that came from the outbox.
    told: Mutex<BTreeSet<(AppId, u64)>>,
}

#[derive(Debug, Default, Clone)]
struct Output {
    text: Vec<u8>,
    step: u64,
    finished: bool,
}

impl SimLogs {
    /// What an app's log holds, as text.
    pub fn lines(&self, app: AppId) -> Vec<String> {
        self.app(app).borrow().iter().map(|entry| entry.line.to_string()).collect()
    }

    fn app(&self, app: AppId) -> watch::Sender<Vec<LogEntry>> {
        self.apps.lock().expect("nothing panics while it holds this lock").entry(app).or_default().clone()
    }
    fn output(&self, name: &str) -> watch::Sender<Output> {
        let mut outputs = self.outputs.lock().expect("nothing panics while it holds this lock");
        outputs.entry(name.to_owned()).or_default().clone()
    }
}

#[async_trait]
impl Logs for SimLogs {
    fn write(&self, app: AppId, line: LogLine) {
        self.app(app).send_modify(|entries| entries.push(LogEntry { id: entries.len() as u64 + 1, line }));
    }
    async fn tell(&self, lines: Vec<NumberedLine>) -> Result<(), LogsError> {
        for NumberedLine { number, app, line } in lines {
            let mut told = self.told.lock().expect("nothing panics while it holds this lock");
            if told.insert((app, number)) {
                self.write(app, line);
            }
        }
        Ok(())
    }
    fn follow_dyno(&self, _: AppId, _: DynoId, _: &str) {}
    fn follow_output(&self, name: &str, _: DynoId) {
        self.output(name);
    }
    async fn drained(&self, _: DynoId) -> Result<(), LogsError> {
        Ok(())
    }

    async fn session(
        &self,
        app: AppId,
        filter: LogFilter,
        lines: usize,
        tail: bool,
        after: Option<u64>,
    ) -> Result<LogStream, LogsError> {
        let mut entries = self.app(app).subscribe();
        let admitted = |entries: &[LogEntry], after: u64| -> Vec<LogEntry> {
            entries.iter().filter(|e| e.id > after && filter.admits(&e.line)).cloned().collect()
        };
        let mut backlog = admitted(&entries.borrow_and_update(), after.unwrap_or(0));
        if after.is_none() {
            backlog.drain(..backlog.len().saturating_sub(lines));
        }
        if !tail {
            return Ok(stream::iter(backlog).boxed());
        }
        let last = entries.borrow().last().map_or(0, |entry| entry.id);
        let live = stream::unfold((entries, last, filter), |(mut entries, mut last, filter)| async move {
            loop {
                let next = entries.borrow_and_update().iter().find(|entry| entry.id > last).cloned();
                match next {
                    Some(entry) => {
                        last = entry.id;
                        if filter.admits(&entry.line) {
                            return Some((entry, (entries, last, filter)));
                        }
                    }
                    None => entries.changed().await.ok()?,
                }
            }
        });
        Ok(stream::iter(backlog).chain(live).boxed())
    }

    async fn output_append(&self, name: &str, step: u64, text: &str) -> Result<(), LogsError> {
        self.output(name).send_modify(|output| {
            if step > output.step {
                output.step = step;
                output.text.extend_from_slice(text.as_bytes());
            }
        });
        Ok(())
    }
    async fn output_finish(&self, name: &str) -> Result<(), LogsError> {
        self.output(name).send_modify(|output| output.finished = true);
        Ok(())
    }
    async fn output_read(&self, name: &str) -> Result<OutputStream, LogsError> {
        let known = self.outputs.lock().expect("nothing panics while it holds this lock").get(name).cloned();
        let output = known.ok_or_else(|| LogsError::NoSuchOutput(name.to_owned()))?.subscribe();
        let chunks = stream::unfold((output, 0), |(mut output, sent)| async move {
            loop {
                let now = output.borrow_and_update().clone();
                if now.text.len() > sent {
                    let chunk = Bytes::copy_from_slice(&now.text[sent..]);
                    return Some((chunk, (output, now.text.len())));
                }
                if now.finished {
                    return None;
                }
                output.changed().await.ok()?;
            }
        });
        Ok(chunks.boxed())
    }
    async fn output_remove(&self, name: &str) -> Result<(), LogsError> {
        self.outputs.lock().expect("nothing panics while it holds this lock").remove(name);
        Ok(())
    }
    async fn outputs(&self) -> Result<Vec<OutputInfo>, LogsError> {
        let outputs = self.outputs.lock().expect("nothing panics while it holds this lock");
        let info = |(name, output): (&String, &watch::Sender<Output>)| OutputInfo {
            name: name.clone(),
            bytes: output.borrow().text.len() as u64,
            changed_at: Timestamp::UNIX_EPOCH,
        };
        Ok(outputs.iter().map(info).collect())
    }
    async fn app_remove(&self, app: AppId) -> Result<(), LogsError> {
        self.apps.lock().expect("nothing panics while it holds this lock").remove(&app);
        Ok(())
    }
}
