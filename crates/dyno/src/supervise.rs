//! The supervisor's life; the crate's page has the drawing.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use renga_model::{Exit, ExitReason, limits};
use renga_supervision::{
    Control, ControlAnswer, DynoDirectory, PROTOCOL_VERSION, State, Stream, SupervisorSpec,
};
use rustix::process::Signal;

use crate::{
    attached::{Attached, Wire},
    cgroup::{Cgroup, MemoryWatch},
    container::{Container, Ended, Streams},
    control::ControlSocket,
    detach::{note, trim_memory},
    error::SupervisorError,
    exec::{self, Execs},
    logged::Logged,
    poll::{Asked, Poll, Ready},
};

/// After the dyno's end, so long may a client take for the rest of the output, or to come at all.
const DELIVERY_TIMEOUT: Duration = limits::ATTACH_TIMEOUT;
/// v1 tells of an out-of-memory situation before the kill shows in the counter.
const MEMORY_RECHECK: Duration = Duration::from_secs(1);
const MEMORY_RECHECK_INTERVAL: Duration = Duration::from_millis(20);

/// How long and how often the exit is tried to be told.
const TELL_TIMEOUT: Duration = Duration::from_secs(300);
const TELL_INTERVAL: Duration = Duration::from_secs(1);
/// Exit code after SIGKILL.
const KILLED: i32 = 137;
/// A grace beyond any use, so that clocks can't overflow.
const GRACE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) struct Supervisor {
    directory: DynoDirectory,
    state: State,
    container: Container,
    memory: MemoryWatch,
    memory_recheck_until: Option<Instant>,
    control: ControlSocket,
    execs: Execs,
    output: Output,
    phase: Phase,
    stop_at: Option<Instant>,
}

enum Output {
    Logged(Logged),
    Attached(Attached),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Running,
    /// SIGTERM has been sent.
    Stopping {
        kill_at: Instant,
    },
    /// SIGKILL has been sent.
    Killed(ExitReason),
    /// The init has ended; its output may still be on the way to a client.
    Draining {
        until: Instant,
    },
}

impl Supervisor {
    /// Makes and starts the dyno. On failure nothing is left of it.
    pub(crate) fn start(mut spec: SupervisorSpec) -> Result<Self, SupervisorError> {
        let directory = DynoDirectory::new(&spec.directory);
        let cgroup = Cgroup::new(&spec.cgroup)?;
        cgroup.enter(spec.cpu_shares)?;
        let mut output = match spec.attach {
            true => Output::Attached(Attached::listen(&spec)?),
            false => Output::Logged(Logged::open(&spec)?),
        };
        let control = ControlSocket::listen(&directory)?;
        let (channel, inner_end) = exec::channel()?;
        let execs = Execs::listen(&spec, channel)?;
        let (mut container, streams) = Container::create(&spec, &cgroup, inner_end)?;
        output.take(streams);
        let started = begin(&directory, &cgroup, &mut container);
        let (memory, state) = match started {
            Ok(started) => started,
            Err(error) => {
                container.delete()?;
                return Err(error);
            }
        };
        // The secrets are the dyno's alone from here on.
        spec.env.clear();
        trim_memory();
        Ok(Self {
            directory,
            state,
            container,
            memory,
            memory_recheck_until: None,
            control,
            execs,
            output,
            phase: Phase::Running,
            stop_at: spec.time_to_live.map(|time| Instant::now() + time),
        })
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Returns when the dyno has ended and everything is told.
    pub(crate) fn run(&mut self) -> Result<(), SupervisorError> {
        let ended = loop {
            let (ready, places) = self.wait();
            self.serve(&ready);
            self.check_memory(ready.at(places.memory));
            self.check_time();
            if ready.at(places.init)
                && let Some(ended) = self.container.ended()?
            {
                break ended;
            }
        };
        self.execs.finish();
        let exit = self.exit(ended);
        self.phase = Phase::Draining { until: Instant::now() + DELIVERY_TIMEOUT };
        self.drain(exit.code);
        if let Err(error) = self.container.delete() {
            // The node sweeps what is left; how the dyno ended must be told all the same.
            note(&error.chain());
        }
        self.tell(&exit)
    }

    /// The last thing. A disk that is full for a while must not turn an exit into a lost supervisor.
    fn tell(&self, exit: &Exit) -> Result<(), SupervisorError> {
        let until = Instant::now() + TELL_TIMEOUT;
        loop {
            match self.directory.write_exit(exit) {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() >= until => return Err(error.into()),
                Err(_) => std::thread::sleep(TELL_INTERVAL),
            }
        }
    }

    /// One wait for everything that may happen while the dyno runs.
    fn wait(&mut self) -> (Ready, Places) {
        let mut poll = Poll::default();
        let places =
            Places { init: poll.readable(self.container.pidfd()), memory: poll.readable(self.memory.fd()) };
        self.control.ask(&mut poll);
        self.execs.ask(&mut poll);
        self.output.ask(&mut poll);
        if let Phase::Stopping { kill_at } = self.phase {
            poll.until(kill_at);
        }
        if let (Phase::Running, Some(at)) = (&self.phase, self.stop_at) {
            poll.until(at);
        }
        if self.memory_recheck_until.is_some() {
            poll.until(Instant::now() + MEMORY_RECHECK_INTERVAL);
        }
        (poll.wait(), places)
    }

    fn serve(&mut self, ready: &Ready) {
        let Self { control, container, phase, output, execs, .. } = self;
        let attached = matches!(output, Output::Attached(attached) if attached.has_client());
        control.turn(ready, |request| obey(&request, phase, container, attached));
        match output {
            Output::Logged(logged) => logged.turn(ready),
            Output::Attached(attached) => attached.turn(ready, Some(&|signal| container.signal(signal))),
        }
        execs.turn(ready, *phase == Phase::Running);
    }

    fn check_memory(&mut self, event: bool) {
        let now = Instant::now();
        if event {
            self.memory.acknowledge();
            self.memory_recheck_until = Some(now + MEMORY_RECHECK);
        }
        let Some(until) = self.memory_recheck_until else { return };
        if self.memory.kills() > 0 {
            self.kill(ExitReason::OutOfMemory);
        }
        if now >= until || matches!(self.phase, Phase::Killed(_)) {
            self.memory_recheck_until = None;
        }
    }

    fn check_time(&mut self) {
        let now = Instant::now();
        match self.phase {
            Phase::Running if self.stop_at.is_some_and(|at| at <= now) => {
                begin_stop(&mut self.phase, &self.container, limits::STOP_GRACE);
            }
            Phase::Stopping { kill_at } if kill_at <= now => self.kill(ExitReason::GraceOver),
            _ => {}
        }
    }

    fn kill(&mut self, reason: ExitReason) {
        if !matches!(self.phase, Phase::Killed(_)) {
            self.phase = Phase::Killed(reason);
            self.container.signal(Signal::KILL);
        }
    }

    /// The counter goes with the container's group, so this comes before its removal.
    fn exit(&self, ended: Ended) -> Exit {
        let killed = match &self.phase {
            Phase::Killed(reason) => Some(reason.clone()),
            _ => None,
        };
        let reason = match killed {
            // The grace was over at the very moment when it ended by itself.
            Some(ExitReason::GraceOver) if ended.code != KILLED => ExitReason::Exited,
            Some(reason) => reason,
            None if self.memory.kills() > 0 => ExitReason::OutOfMemory,
            None => ExitReason::Exited,
        };
        let memory_peak_bytes =
            if reason == ExitReason::OutOfMemory { self.memory.peak_bytes() } else { None };
        Exit { memory_peak_bytes, ..Exit::new(ended.code, reason, Timestamp::now()) }
    }

    /// What was written before the end goes where it belongs.
    fn drain(&mut self, code: i32) {
        let attached = match &mut self.output {
            Output::Logged(logged) => return logged.finish(),
            Output::Attached(attached) => attached,
        };
        attached.dyno_ended();
        let mut exit = Some(code);
        while !attached.delivered(&mut exit) {
            let Phase::Draining { until } = self.phase else { return };
            if Instant::now() >= until {
                return note("nobody took the dyno's last output");
            }
            let mut poll = Poll::default();
            self.control.ask(&mut poll);
            attached.ask(&mut poll);
            poll.until(until);
            let ready = poll.wait();
            let (phase, container, served) = (&mut self.phase, &self.container, attached.has_client());
            self.control.turn(&ready, |request| obey(&request, phase, container, served));
            attached.turn(&ready, None);
        }
    }
}

/// Places in a turn that are always there.
struct Places {
    init: Asked,
    memory: Asked,
}

fn obey(request: &Control, phase: &mut Phase, container: &Container, attached: bool) -> ControlAnswer {
    match request {
        Control::Stop { grace_ms } => {
            let grace = Duration::from_millis(*grace_ms).min(GRACE_MAX);
            begin_stop(phase, container, grace);
            ControlAnswer::Done
        }
        Control::Status => ControlAnswer::Status { stopping: *phase != Phase::Running, attached },
    }
}

/// Asking again may only make it sooner.
fn begin_stop(phase: &mut Phase, container: &Container, grace: Duration) {
    let kill_at = Instant::now() + grace;
    match phase {
        // No grace was given that could be over.
        Phase::Running | Phase::Stopping { .. } if grace.is_zero() => {
            *phase = Phase::Killed(ExitReason::Exited);
            container.signal(Signal::KILL);
        }
        Phase::Running => {
            container.signal(Signal::TERM);
            *phase = Phase::Stopping { kill_at };
        }
        Phase::Stopping { kill_at: old } => *old = kill_at.min(*old),
        Phase::Killed(_) => {}
        // Whoever wants it gone waits for no client.
        Phase::Draining { until } => *until = kill_at.min(*until),
    }
}

/// From made to begun: what must be in place before the command's first instruction.
fn begin(
    directory: &DynoDirectory,
    cgroup: &Cgroup,
    container: &mut Container,
) -> Result<(MemoryWatch, State), SupervisorError> {
    let memory = cgroup.watch_memory()?;
    let state = State {
        version: PROTOCOL_VERSION,
        supervisor_pid: rustix::process::getpid().as_raw_pid(),
        init_pid: container.init().as_raw_pid(),
        started_at: Timestamp::now(),
    };
    directory.write_state(&state)?;
    container.start()?;
    Ok((memory, state))
}

// === impl Output ===

impl Output {
    fn take(&mut self, streams: Streams) {
        match (self, streams) {
            (Self::Logged(logged), Streams::Logged { stdout, stderr }) => {
                logged.add(stdout, Stream::Stdout, false);
                logged.add(stderr, Stream::Stderr, false);
            }
            (Self::Logged(logged), Streams::Terminal(terminal)) => {
                logged.add(terminal, Stream::Stdout, true);
            }
            (Self::Attached(attached), Streams::Terminal(terminal)) => {
                attached.use_wire(Wire::terminal(terminal));
            }
            (Self::Attached(attached), Streams::Piped { stdin, output }) => {
                attached.use_wire(Wire::pipes(stdin, output));
            }
            (Self::Logged(_), Streams::Piped { .. }) | (Self::Attached(_), Streams::Logged { .. }) => {
                unreachable!("streams are made by the same spec as this")
            }
        }
    }

    fn ask<'a>(&'a mut self, poll: &mut Poll<'a>) {
        match self {
            Self::Logged(logged) => logged.ask(poll),
            Self::Attached(attached) => attached.ask(poll),
        }
    }
}
