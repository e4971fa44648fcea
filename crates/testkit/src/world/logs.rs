//! Logs in memory. They are never struck: a log hand that fails is its own crate's matter.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use renga_model::{AppId, DynoId, LogFilter, LogLine, NumberedLine};
use renga_ports::{Clock, LogEntry, LogStream, Logs, LogsError, OutputInfo, OutputStream};

use super::{World, state::Output};

#[derive(Debug)]
pub struct WorldLogs {
    pub(crate) world: World,
}

#[async_trait]
impl Logs for WorldLogs {
    fn write(&self, app: AppId, line: LogLine) {
        let mut state = self.world.state();
        if !state.logs_removed.contains(&app) {
            state.lines.push((app, line));
        }
    }
    async fn tell(&self, lines: Vec<NumberedLine>) -> Result<(), LogsError> {
        for NumberedLine { number, app, line } in lines {
            let mut state = self.world.state();
            let fresh = state.told.insert((app, number));
            if fresh && !state.logs_removed.contains(&app) {
                state.lines.push((app, line));
            }
        }
        Ok(())
    }
    fn follow_dyno(&self, _app: AppId, _dyno: DynoId, _ps: &str) {}
    fn follow_output(&self, name: &str, dyno: DynoId) {
        let mut state = self.world.state();
        let output = state.outputs.entry(name.to_owned()).or_default();
        if output.followed.insert(dyno) {
            output.text += "-----> Simulated build\n";
        }
    }
    async fn drained(&self, _dyno: DynoId) -> Result<(), LogsError> {
        Ok(())
    }
    async fn session(
        &self,
        app: AppId,
        filter: LogFilter,
        lines: usize,
        _tail: bool,
        after: Option<u64>,
    ) -> Result<LogStream, LogsError> {
        let all = self.world.state().lines.clone();
        let of_app = (1u64..).zip(all.into_iter().filter(|(of, line)| *of == app && filter.admits(line)));
        let entries: Vec<_> = of_app.map(|(id, (_, line))| LogEntry { id, line }).collect();
        let first = entries.len().saturating_sub(lines);
        let kept =
            entries.into_iter().skip(first).filter(move |entry| after.is_none_or(|after| entry.id > after));
        Ok(stream::iter(kept.collect::<Vec<_>>()).boxed())
    }
    async fn output_append(&self, name: &str, step: u64, text: &str) -> Result<(), LogsError> {
        let now = self.world.clock().now();
        let mut state = self.world.state();
        let output = state.outputs.entry(name.to_owned()).or_default();
        output.changed_at = now;
        if output.last_step.is_none_or(|last| step > last) {
            output.last_step = Some(step);
            output.text += text;
        }
        Ok(())
    }
    async fn output_finish(&self, name: &str) -> Result<(), LogsError> {
        self.world.state().outputs.entry(name.to_owned()).or_default().finished = true;
        Ok(())
    }
    async fn output_read(&self, name: &str) -> Result<OutputStream, LogsError> {
        let state = self.world.state();
        let output = state.outputs.get(name).ok_or_else(|| LogsError::NoSuchOutput(name.to_owned()))?;
        Ok(stream::iter([Bytes::from(output.text.clone())]).boxed())
    }
    async fn output_remove(&self, name: &str) -> Result<(), LogsError> {
        self.world.state().outputs.remove(name);
        Ok(())
    }
    async fn outputs(&self) -> Result<Vec<OutputInfo>, LogsError> {
        let info = |(name, output): (&String, &Output)| OutputInfo {
            name: name.clone(),
            bytes: output.text.len() as u64,
            changed_at: output.changed_at,
        };
        Ok(self.world.state().outputs.iter().map(info).collect())
    }
    async fn app_remove(&self, app: AppId) -> Result<(), LogsError> {
        let mut state = self.world.state();
        state.logs_removed.insert(app);
        state.lines.retain(|(of, _)| *of != app);
        Ok(())
    }
}
