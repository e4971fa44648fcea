//! The log port: callers leave things in the inbox; sessions and readers look into the journals themselves.

use std::{fs, io, sync::Arc, thread::JoinHandle};

use async_trait::async_trait;
use renga_model::{AppId, DynoId, LogFilter, LogLine, NumberedLine};
use renga_ports::{LogStream, Logs, LogsError, OutputInfo, OutputStream};
use tokio::{sync::oneshot, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    Config,
    hub::{self, log_directory},
    inbox::{Ask, Done, Inbox, Target},
    journal::PAYLOAD_BYTES_MAX,
    line,
    output::{self, OutputName},
    session::{self, Wanted},
    wakes::Wakes,
};

/// The platform's logs. Cheap to clone; the last clone that goes writes what is left and stops the hub.
#[derive(Debug, Clone)]
pub struct LogStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    stop: CancellationToken,
    hub: Option<JoinHandle<()>>,
}

/// What the hub and the callers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) inbox: Inbox,
    pub(crate) wakes: Wakes,
}

impl LogStore {
    /// Makes the directories and starts the hub. Only one store at a time may use them.
    pub fn new(config: Config) -> Result<Self, LogsError> {
        let io = |cause| LogsError::Io { operation: "open", cause };
        fs::create_dir_all(&config.root).map_err(io)?;
        fs::create_dir_all(&config.outputs).map_err(io)?;
        let inbox = Inbox::new(config.limits.queue_lines_max);
        let shared = Arc::new(Shared { config, inbox, wakes: Wakes::open() });
        let stop = CancellationToken::new();
        let hub = hub::start(shared.clone(), stop.clone()).map_err(io)?;
        Ok(Self(Arc::new(Inner { shared, stop, hub: Some(hub) })))
    }

    /// Hands the question to the hub and waits for its answer.
    async fn ask(&self, question: impl FnOnce(Done) -> Ask) -> Result<(), LogsError> {
        let (done, answer) = oneshot::channel();
        self.0.shared.inbox.ask(question(done));
        answer.await.unwrap_or_else(|_| {
            let cause = io::Error::other("the log store has been closed");
            Err(LogsError::Io { operation: "write", cause })
        })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.cancel();
        let ended = self.hub.take().map(JoinHandle::join);
        if let Some(Err(_)) = ended {
            tracing::error!("the log hub ended with a panic");
        }
    }
}

fn parse(name: &str) -> Result<OutputName, LogsError> {
    OutputName::parse(name).ok_or_else(|| LogsError::NoSuchOutput(name.escape_debug().to_string()))
}

#[async_trait]
impl Logs for LogStore {
    /// Text of several lines becomes several, and a long line is cut, as everywhere.
    fn write(&self, app: AppId, line: LogLine) {
        for part in line::parts(&line.text) {
            self.0.shared.inbox.line(app, LogLine { text: part.to_owned(), ps: line.ps.clone(), ..line });
        }
    }

    async fn tell(&self, lines: Vec<NumberedLine>) -> Result<(), LogsError> {
        self.ask(|done| Ask::Tell { lines, done }).await
    }

    fn follow_dyno(&self, app: AppId, dyno: DynoId, ps: &str) {
        self.0.shared.inbox.follow(dyno, Target::Log { app, ps: ps.to_owned() });
    }

    fn follow_output(&self, name: &str, dyno: DynoId) {
        match OutputName::parse(name) {
            Some(name) => self.0.shared.inbox.follow(dyno, Target::Output(name)),
            None => tracing::error!(name = %name.escape_debug(), "not the name of an output"),
        }
    }

    async fn drained(&self, dyno: DynoId) -> Result<(), LogsError> {
        self.ask(|done| Ask::Drained { dyno, done }).await
    }

    async fn session(
        &self,
        app: AppId,
        filter: LogFilter,
        lines: usize,
        tail: bool,
        after: Option<u64>,
    ) -> Result<LogStream, LogsError> {
        let shared = &self.0.shared;
        let directory = log_directory(&shared.config, app);
        // Before the first look: what comes in between wakes us.
        let wake = tail.then(|| shared.wakes.subscribe(&directory)).flatten();
        session::open(Wanted { app, directory, filter, lines, tail, after }, wake).await
    }

    async fn output_append(&self, name: &str, step: u64, text: &str) -> Result<(), LogsError> {
        let (name, text) = (parse(name)?, line::cut(text, PAYLOAD_BYTES_MAX).to_owned());
        self.ask(|done| Ask::OutputAppend { name, step, text, done }).await
    }

    async fn output_finish(&self, name: &str) -> Result<(), LogsError> {
        let name = parse(name)?;
        self.ask(|done| Ask::OutputFinish { name, done }).await
    }

    /// One that has not begun is waited for, for a while.
    async fn output_read(&self, name: &str) -> Result<OutputStream, LogsError> {
        let shared = &self.0.shared;
        let directory = parse(name)?.directory(&shared.config.outputs);
        let missing = || LogsError::NoSuchOutput(name.to_owned());
        // Before the first look: what comes in between wakes us.
        let mut wake = shared.wakes.subscribe(&directory).ok_or_else(missing)?;
        let deadline = Instant::now() + shared.config.limits.output_wait_max;
        loop {
            wake.borrow_and_update();
            if let Some(reader) = output::open(directory.clone()).await? {
                return Ok(output::follow(reader, wake));
            }
            match tokio::time::timeout_at(deadline, wake.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Err(missing()),
            }
        }
    }

    async fn output_remove(&self, name: &str) -> Result<(), LogsError> {
        let name = parse(name)?;
        self.ask(|done| Ask::OutputRemove { name, done }).await
    }

    async fn outputs(&self) -> Result<Vec<OutputInfo>, LogsError> {
        let root = self.0.shared.config.outputs.clone();
        output::blocking("list the outputs of", move || output::list(&root)).await
    }

    async fn app_remove(&self, app: AppId) -> Result<(), LogsError> {
        self.ask(|done| Ask::AppRemove { app, done }).await
    }
}
