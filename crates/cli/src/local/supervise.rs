//! Processes started, their lines shown, and all of them ended together.

use std::{
    collections::BTreeMap,
    io::{self, BufRead as _, BufReader, Read},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::{Child, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use jiff::{Timestamp, tz::TimeZone};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::{command::shell, plan::Process};
use crate::{context::Context, errors::Failure, output::Paint};

/// From SIGTERM to SIGKILL, as for dynos.
const GRACE: Duration = Duration::from_secs(10);
/// What is still in the pipes when everything has ended.
const DRAIN: Duration = Duration::from_millis(500);
/// Bytes of one line; longer ones are cut.
const LINE_BYTES_MAX: u64 = 10_000;
/// Lines that wait to be shown; a process that writes more waits, too.
const LINES_WAITING_MAX: usize = 1_024;
const PAINTS: [Paint; 5] = [Paint::Cyan, Paint::Yellow, Paint::Green, Paint::Magenta, Paint::Blue];
const EXIT_SIGNAL: i32 = 128;

enum Event {
    Line { process: usize, text: String },
    Exited { process: usize },
    Asked,
}

/// Until the first process ends or the user has had enough; then until all have ended.
pub(super) fn supervise(
    context: &Context<'_>,
    processes: &[Process],
    vars: &BTreeMap<String, String>,
) -> Result<(), Failure> {
    if processes.is_empty() {
        return Err(Failure::Usage("there is nothing to run".into()));
    }
    let (events, incoming) = mpsc::sync_channel(LINES_WAITING_MAX);
    watch_signals(events.clone()).map_err(Failure::local("watch for signals"))?;
    let mut group = Group { shown: Shown::new(context, processes), running: Vec::new() };
    for (number, process) in processes.iter().enumerate() {
        let child = start(number, process, vars, &events);
        group
            .running
            .push(child.map_err(|cause| Failure::Program { program: process.command.clone(), cause })?);
    }
    drop(events);
    let code = group.run(&incoming)?;
    match code {
        0 => Ok(()),
        code => Err(Failure::Exited(code)),
    }
}

fn start(
    number: usize,
    process: &Process,
    vars: &BTreeMap<String, String>,
    events: &mpsc::SyncSender<Event>,
) -> io::Result<Running> {
    let mut command = shell(&process.command);
    command
        .envs(vars)
        .env("PORT", process.port.to_string())
        .env("PS", &process.name)
        .env("DYNO", &process.name);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("the process has no id"))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    stdout.into_iter().for_each(|pipe| read_lines(number, pipe, events.clone()));
    stderr.into_iter().for_each(|pipe| read_lines(number, pipe, events.clone()));
    let events = events.clone();
    thread::spawn(move || {
        // Not reaped yet: until we do so, its id and that of its group belong to nobody else.
        let leader = WaitId::Pid(pid);
        while let Err(rustix::io::Errno::INTR) =
            waitid(leader.clone(), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
        {}
        // Nobody listens any more once we are ending.
        drop(events.send(Event::Exited { process: number }));
    });
    Ok(Running { child, pid, exited: false })
}

fn read_lines(process: usize, pipe: impl Read + Send + 'static, events: mpsc::SyncSender<Event>) {
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        loop {
            let mut line = Vec::new();
            match pipe.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let text = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned();
            if events.send(Event::Line { process, text }).is_err() {
                return;
            }
        }
    });
}

fn watch_signals(events: mpsc::SyncSender<Event>) -> io::Result<()> {
    let (mut wakes, wake) = std::os::unix::net::UnixStream::pair()?;
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::low_level::pipe::register(signal, wake.try_clone()?)?;
    }
    thread::spawn(move || {
        let mut byte = [0];
        while wakes.read_exact(&mut byte).is_ok() && events.send(Event::Asked).is_ok() {}
    });
    Ok(())
}

// === all of them ===

struct Running {
    child: Child,
    pid: Pid,
    exited: bool,
}

struct Group<'a> {
    shown: Shown<'a>,
    running: Vec<Running>,
}

impl Group<'_> {
    /// The code of the first that ended, or 130 if we were asked.
    fn run(&mut self, incoming: &mpsc::Receiver<Event>) -> Result<u8, Failure> {
        let mut code = None;
        let mut deadline: Option<Instant> = None;
        while self.running.iter().any(|running| !running.exited) {
            let event = match deadline {
                None => incoming.recv().ok(),
                Some(deadline) => {
                    incoming.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
                }
            };
            match event {
                Some(Event::Line { process, text }) => self.shown.line(process, &text)?,
                Some(Event::Exited { process }) => {
                    let ended = self.ended(process)?;
                    code.get_or_insert(ended);
                }
                Some(Event::Asked) if deadline.is_none() => {
                    code.get_or_insert(exit_of(SIGINT));
                }
                // Asked again, or nobody ended in time.
                Some(Event::Asked) | None => {
                    self.signal(Signal::KILL);
                    deadline = Some(Instant::now() + GRACE);
                    continue;
                }
            }
            if code.is_some() && deadline.is_none() {
                self.shown.note("Stopping all processes with SIGTERM")?;
                self.signal(Signal::TERM);
                deadline = Some(Instant::now() + GRACE);
            }
        }
        self.drain(incoming)?;
        Ok(code.unwrap_or(0))
    }

    fn ended(&mut self, process: usize) -> Result<u8, Failure> {
        let running = &mut self.running[process];
        // What the leader left behind must not outlive it.
        kill_process_group(running.pid, Signal::KILL).ok();
        let status = running.child.wait().map_err(Failure::local("wait for a process"))?;
        running.exited = true;
        let code = status.code().unwrap_or_else(|| EXIT_SIGNAL + status.signal().unwrap_or(0));
        let how = match status.signal() {
            Some(signal) => format!("Process ended by signal {signal}"),
            None => format!("Process exited with status {code}"),
        };
        self.shown.line(process, &how)?;
        Ok(u8::try_from(code).unwrap_or(1))
    }

    /// Groups whose leader has been reaped are gone; their id may belong to somebody else.
    fn signal(&self, signal: Signal) {
        for running in self.running.iter().filter(|running| !running.exited) {
            // It may have ended in the meantime.
            kill_process_group(running.pid, signal).ok();
        }
    }

    fn drain(&mut self, incoming: &mpsc::Receiver<Event>) -> Result<(), Failure> {
        let deadline = Instant::now() + DRAIN;
        while let Ok(event) = incoming.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if let Event::Line { process, text } = event {
                self.shown.line(process, &text)?;
            }
        }
        Ok(())
    }
}

/// However we leave, nobody stays behind.
impl Drop for Group<'_> {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        for running in self.running.iter_mut().filter(|running| !running.exited) {
            drop(running.child.wait());
        }
    }
}

fn exit_of(signal: i32) -> u8 {
    u8::try_from(EXIT_SIGNAL + signal).unwrap_or(1)
}

// === what is shown ===

struct Shown<'a> {
    context: &'a Context<'a>,
    names: Vec<String>,
    width: usize,
}

impl<'a> Shown<'a> {
    fn new(context: &'a Context<'a>, processes: &[Process]) -> Self {
        let names: Vec<_> = processes.iter().map(|process| process.name.clone()).collect();
        let width = names.iter().map(String::len).max().unwrap_or(0);
        Self { context, names, width }
    }

    /// `12:00:00 web.1    | text`
    fn line(&self, process: usize, text: &str) -> Result<(), Failure> {
        let name = self.names.get(process).map_or("", String::as_str);
        self.put(PAINTS[process % PAINTS.len()], name, text)
    }

    fn note(&self, text: &str) -> Result<(), Failure> {
        self.put(Paint::Grey, "renga", text)
    }

    fn put(&self, paint: Paint, name: &str, text: &str) -> Result<(), Failure> {
        let time = Timestamp::now().to_zoned(TimeZone::system()).strftime("%H:%M:%S").to_string();
        let head = format!("{time} {name:width$} |", width = self.width);
        self.context.out.print(&format!("{} {text}\n", self.context.out.paint(paint, head)))
    }
}
