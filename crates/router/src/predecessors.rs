//! Routers that drain while this one serves ([`crate::succession`] is their side). Each is reached by a name of its own
//! for the socket that was `control.sock`. They get every table that we get, and their requests in flight count as ours:
//! to the server there is one router.
//!
//! The names are on disk, so that a router which comes after one that died finds them, too.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use renga_model::{AppId, DynoId, RouteChange, RouteTable};
use tokio::{net::UnixStream, sync, time::timeout};

use crate::{
    control::{self, Ask, Reply},
    frame::{self, TABLE_BYTES_MAX},
    status::{Draining, Status},
    table::{Table, lock},
};

/// That drain at one time; a further router waits for one of them to end.
const PREDECESSORS_MAX: usize = 8;
/// For handing over its table.
const SUCCEED_TIMEOUT: Duration = Duration::from_secs(5);
/// For everything else: the server waits meanwhile.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);
const NAME_TRIES_MAX: usize = 16;

#[derive(Debug, Default)]
pub(crate) struct Predecessors(Vec<Predecessor>);

#[derive(Debug)]
struct Predecessor {
    socket: PathBuf,
    link: sync::Mutex<Link>,
    /// What it last said of its requests in flight.
    in_flight: Mutex<BTreeMap<DynoId, u32>>,
    ended: AtomicBool,
}

#[derive(Debug)]
struct Link {
    stream: Option<UnixStream>,
    /// The table that it routes by.
    acknowledged: u64,
}

// === impl Predecessors ===

impl Predecessors {
    /// Those that answer, whoever listens on `control.sock` among them: it has a name of its own after that, so that
    /// the path may become ours. Names of those that have ended go.
    pub(crate) async fn find(directory: &Path) -> io::Result<Self> {
        let (control, mut found) = (control::socket_path(directory), Vec::new());
        let current = identity(&control).ok();
        for socket in names(directory)? {
            // A router died between giving this name and taking the path.
            let double = current.is_some() && identity(&socket).ok() == current;
            match UnixStream::connect(&socket).await {
                Ok(stream) if !double => found.push(Predecessor::new(socket, stream)),
                Err(error) if !double && !nobody(&error) => {
                    tracing::warn!(%error, "{} is not reached", socket.display());
                }
                _ => fs::remove_file(&socket)?,
            }
        }
        match UnixStream::connect(&control).await {
            Ok(stream) => found.push(Predecessor::new(keep_name(directory, &control)?, stream)),
            Err(error) if nobody(&error) => {}
            Err(error) => return Err(error),
        }
        if found.len() > PREDECESSORS_MAX {
            return Err(io::Error::other(format!("{} routers drain already", found.len() - 1)));
        }
        Ok(Self(found))
    }

    /// From now on we lead them. The newest of their tables.
    pub(crate) async fn succeed(&self) -> Option<RouteTable> {
        let mut newest: Option<RouteTable> = None;
        for predecessor in &self.0 {
            match predecessor.succeed().await {
                Ok(table) if newest.as_ref().is_none_or(|known| known.generation < table.generation) => {
                    newest = Some(table);
                }
                Ok(_) => {}
                // It has ended meanwhile, and its table is on disk.
                Err(error) if nobody(&error) => {}
                Err(error) => tracing::warn!(%error, "a predecessor did not hand over"),
            }
        }
        newest
    }

    /// We accept: they need not any more.
    pub(crate) async fn drain(&self) {
        for predecessor in self.running() {
            if let Err(error) = predecessor.ask(&Ask::Drain).await {
                tracing::warn!(%error, "a predecessor was not told to drain");
            }
        }
    }

    /// Has them route by this table, and adds their requests in flight to ours.
    pub(crate) async fn add_in_flight(
        &self,
        table: &Table,
        change: Option<&RouteChange>,
        ours: &mut BTreeMap<DynoId, u32>,
    ) {
        for predecessor in self.running() {
            for (dyno, count) in predecessor.follow(table, change).await {
                *ours.entry(dyno).or_default() += count;
            }
        }
    }

    /// An app is waited for if it is by any router, and idle as long as it is on all of them.
    pub(crate) async fn add_traffic(
        &self,
        waiting: &mut BTreeSet<AppId>,
        idle_ms: &mut BTreeMap<AppId, u64>,
    ) {
        for predecessor in self.running() {
            if let Ok(Reply::Traffic { waiting: theirs, idle_ms: idle }) =
                predecessor.ask(&Ask::Traffic { wait_ms: 0 }).await
            {
                waiting.extend(theirs);
                idle_ms.retain(|app, ms| {
                    idle.get(app).is_some_and(|theirs| {
                        *ms = (*ms).min(*theirs);
                        true
                    })
                });
            }
        }
    }

    pub(crate) async fn draining(&self) -> Vec<Draining> {
        let mut draining = Vec::new();
        for predecessor in self.running() {
            if let Ok(Reply::Status(status)) = predecessor.ask(&Ask::Status).await {
                let Status { in_flight, held, .. } = *status;
                draining.push(Draining { in_flight, held });
            }
        }
        draining
    }

    pub(crate) fn any(&self) -> bool {
        self.running().next().is_some()
    }

    fn running(&self) -> impl Iterator<Item = &Predecessor> {
        self.0.iter().filter(|predecessor| !predecessor.ended.load(Ordering::Relaxed))
    }
}

// === impl Predecessor ===

impl Predecessor {
    fn new(socket: PathBuf, stream: UnixStream) -> Self {
        Self {
            socket,
            link: sync::Mutex::new(Link { stream: Some(stream), acknowledged: 0 }),
            in_flight: Mutex::default(),
            ended: AtomicBool::new(false),
        }
    }

    async fn succeed(&self) -> io::Result<RouteTable> {
        let mut link = self.link.lock().await;
        // A connection of before may be ended, as all are when a router retires; a second one is heard, or refused
        // when nothing is left to hand over.
        let succeeded = async {
            if let Some(stream) = link.stream.take()
                && let Ok(table) = link.introduce(stream).await
            {
                return Ok(table);
            }
            let stream = UnixStream::connect(&self.socket).await?;
            link.introduce(stream).await
        };
        let answered = timeout(SUCCEED_TIMEOUT, succeeded).await.unwrap_or_else(|_| Err(late()));
        answered.inspect_err(|error| self.note(error))
    }

    async fn ask(&self, ask: &Ask<'_>) -> io::Result<Reply> {
        let asked = async { self.converse(&mut *self.link.lock().await, ask).await };
        let answered = timeout(ANSWER_TIMEOUT, asked).await.unwrap_or_else(|_| Err(late()));
        answered.inspect_err(|error| self.note(error))
    }

    /// Its requests in flight once it routes by this table. One that does not say has as many as it said before.
    async fn follow(&self, table: &Table, change: Option<&RouteChange>) -> BTreeMap<DynoId, u32> {
        let followed = async {
            let mut link = self.link.lock().await;
            let mut whole = false;
            loop {
                let generation = table.generation;
                let known = link.acknowledged;
                let leads_on = |change: &&RouteChange| change.from == known && change.to == generation;
                let ask = match change.filter(leads_on) {
                    _ if whole => Ask::Whole(table),
                    _ if known == generation => Ask::InFlight { generation },
                    Some(change) => Ask::Change(change),
                    None => Ask::Whole(table),
                };
                match self.converse(&mut link, &ask).await? {
                    Reply::Routing { generation, in_flight } => {
                        link.acknowledged = generation;
                        return Ok(in_flight);
                    }
                    Reply::Behind { .. } if !whole => whole = true,
                    _ => return Err(io::ErrorKind::InvalidData.into()),
                }
            }
        };
        match timeout(ANSWER_TIMEOUT, followed).await.unwrap_or_else(|_| Err(late())) {
            Ok(in_flight) => lock(&self.in_flight).clone_from(&in_flight),
            Err(error) => self.note(&error),
        }
        lock(&self.in_flight).clone()
    }

    /// The connection is out of the link while in use, so that one that broke off in the middle is not used again.
    async fn converse(&self, link: &mut Link, ask: &Ask<'_>) -> io::Result<Reply> {
        if let Some(mut stream) = link.stream.take()
            && let Ok(reply) = exchange(&mut stream, ask).await
        {
            link.stream = Some(stream);
            return Ok(reply);
        }
        link.introduce(UnixStream::connect(&self.socket).await?).await?;
        let mut stream = link.stream.take().ok_or(io::ErrorKind::NotConnected)?;
        let reply = exchange(&mut stream, ask).await?;
        link.stream = Some(stream);
        Ok(reply)
    }

    fn note(&self, error: &io::Error) {
        if nobody(error) && !self.ended.swap(true, Ordering::Relaxed) {
            lock(&self.in_flight).clear();
            fs::remove_file(&self.socket).ok();
        }
    }
}

impl Link {
    /// Makes the connection the one that leads. What the predecessor routes by comes back.
    async fn introduce(&mut self, mut stream: UnixStream) -> io::Result<RouteTable> {
        match exchange(&mut stream, &Ask::Succeed).await? {
            Reply::Succeeded(table) => {
                (self.stream, self.acknowledged) = (Some(stream), table.generation);
                Ok(table)
            }
            Reply::Refused(reason) => Err(io::Error::other(reason)),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

async fn exchange(stream: &mut UnixStream, ask: &Ask<'_>) -> io::Result<Reply> {
    frame::write(stream, ask, TABLE_BYTES_MAX).await?;
    frame::read(stream, TABLE_BYTES_MAX).await
}

// === names ===

/// As long as `control.sock`, so that whatever path has room for that one has room for these.
fn names(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        if name.to_str().is_some_and(|name| name.starts_with("p-") && name.ends_with(".sock")) {
            names.push(directory.join(name));
        }
    }
    Ok(names)
}

/// No name is used twice: who knows an old one must not meet somebody else under it.
fn keep_name(directory: &Path, control: &Path) -> io::Result<PathBuf> {
    for _ in 0..NAME_TRIES_MAX {
        let name = directory.join(format!("p-{:05x}.sock", rand::random_range(0..0x10_0000)));
        match fs::hard_link(control, &name) {
            Ok(()) => return Ok(name),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let meta = fs::symlink_metadata(path)?;
    Ok((meta.dev(), meta.ino()))
}

/// Whoever had the socket has ended.
fn nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
}

fn late() -> io::Error {
    io::ErrorKind::TimedOut.into()
}
