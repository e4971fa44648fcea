//! Calls that wait for their answer.

use std::io;

use renga_model::{AppId, DynoId, DynoKind, LogLine, NumberedLine};
use renga_ports::LogsError;
use renga_supervision::DynoDirectory;

use super::{Hub, Key, REMOVED_MAX, SourceId};
use crate::{
    inbox::{Ask, Done, Loss, Target},
    journal::{Kind, NewRecord, OUTBOX, PLATFORM, STEPS},
    line,
    output::OutputName,
};

/// What is said once may be several lines: the low bits of a number in the journal count them.
const PART_BITS: u32 = 16;
const PARTS_MAX: usize = 1 << PART_BITS;

impl Hub {
    pub(super) fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Tell { lines, done } => {
                lines.iter().for_each(|line| self.tell(line));
                self.told.push(done);
            }
            Ask::OutputAppend { name, step, text, done } => {
                respond(done, self.output_append(&Key::Output(name), step, &text));
            }
            Ask::OutputFinish { name, done } => respond(done, self.output_finish(&Key::Output(name))),
            Ask::OutputRemove { name, done } => respond(done, self.output_remove(&name)),
            Ask::AppRemove { app, done } => respond(done, self.app_remove(app)),
            Ask::Drained { dyno, done } => self.drained(dyno, done),
        }
    }

    /// A line that is in the log already was told by one of us who died before he could say so.
    fn tell(&mut self, line: &NumberedLine) {
        let app = line.app;
        if self.removed.contains(&app) {
            return;
        }
        let last = self.journals.position(&Key::Log(app), &OUTBOX).unwrap_or(0);
        for (number, text) in (line.number << PART_BITS..).zip(line::parts(&line.line.text).take(PARTS_MAX)) {
            if number > last {
                let payload = line::encode(&LogLine { text: text.to_owned(), ..line.line.clone() });
                let record = NewRecord { kind: Kind::Data, origin: OUTBOX, seq: number, payload: &payload };
                self.journals.append_platform(app, &record, Loss { count: 1, since: line.line.at });
            }
        }
    }

    fn output_append(&mut self, key: &Key, step: u64, text: &str) -> Result<(), LogsError> {
        if self.journals.position(key, &STEPS).is_some_and(|last| step <= last) {
            return Ok(());
        }
        let record = NewRecord { kind: Kind::Data, origin: STEPS, seq: step, payload: text.as_bytes() };
        let written = self.journals.append(key, &record) && self.journals.flush_one(key);
        written.then_some(()).ok_or_else(|| failed("append to"))
    }

    fn output_finish(&mut self, key: &Key) -> Result<(), LogsError> {
        if self.journals.is_finished(key) {
            return Ok(());
        }
        let record = NewRecord { kind: Kind::Finish, origin: PLATFORM, seq: 0, payload: b"" };
        let written = self.journals.append(key, &record) && self.journals.flush_one(key);
        written.then_some(()).ok_or_else(|| failed("finish"))
    }

    fn output_remove(&mut self, name: &OutputName) -> Result<(), LogsError> {
        self.unfollow_where(|target| *target == Target::Output(name.clone()));
        let removed = self.journals.remove(&Key::Output(name.clone()));
        removed.map_err(|cause| LogsError::Io { operation: "remove", cause })
    }

    fn app_remove(&mut self, app: AppId) -> Result<(), LogsError> {
        if self.removed.len() == REMOVED_MAX {
            self.removed.pop_front();
        }
        self.removed.push_back(app);
        self.unfollow_where(|target| matches!(target, Target::Log { app: of, .. } if *of == app));
        let removed = self.journals.remove(&Key::Log(app));
        removed.map_err(|cause| LogsError::Io { operation: "remove", cause })
    }

    fn unfollow_where(&mut self, fits: impl Fn(&Target) -> bool) {
        let ids: Vec<SourceId> =
            self.sources.iter().filter(|(_, source)| fits(&source.target)).map(|(id, _)| *id).collect();
        for id in ids {
            for waiter in self.unfollow(id).into_iter().flat_map(|source| source.waiters) {
                waiter.answer(Ok(()));
            }
        }
    }

    /// A dyno that nobody asked to follow, because we have just started, is known by its label: what it said must not
    /// be forgotten with it. The output of a build is known to the engine alone, which then asks itself.
    fn drained(&mut self, dyno: DynoId, done: Done) {
        let id = SourceId::Dyno(dyno);
        if !self.sources.contains_key(&id) {
            let directory = DynoDirectory::new(self.shared.config.dynos.join(dyno.to_string()));
            match directory.read_label() {
                Ok(Some(label)) if label.kind == DynoKind::Formation || label.kind == DynoKind::OneOff => {
                    let target = Target::Log { app: label.app, ps: label.name.to_string() };
                    self.follow(dyno, target);
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(error = %error, "could not read a dyno's label"),
            }
        }
        match self.sources.get_mut(&id) {
            Some(source) => {
                source.wait(done);
                self.mark(id);
            }
            None => respond(done, Ok(())),
        }
    }
}

fn respond(done: Done, answer: Result<(), LogsError>) {
    // Who asked may have gone; then nobody minds.
    drop(done.send(answer));
}

fn failed(operation: &'static str) -> LogsError {
    LogsError::Io {
        operation,
        cause: io::Error::other("the journal cannot be written; the operator's log has the cause"),
    }
}
