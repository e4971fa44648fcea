//! One router follows another, and nobody notices: not who connects, whose request goes on, nor the server.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use renga_model::{RouteTable, WebState};
use renga_ports::RouteFeed as _;
use renga_router::{Config, Limits, Listeners, Router, UnixRouteFeed, listening, status_of};
use renga_supervision::{Entry, SegmentReader};
use tempfile::TempDir;
use tokio::{
    net::{TcpStream, UnixListener},
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::rig::{Backend, DEADLINE, Peer, Reply, app, config, dyno, patient_limits};

/// Those who connect at one time. Each asks once, and comes again.
const CLIENTS: usize = 32;
/// Threads of one router after the other. There are four sockets of each port, and six before the last.
const THREADS: [usize; 6] = [4, 1, 3, 2, 8, 6];
const SOCKETS_AT_LAST: usize = 6;

fn again(listeners: &Listeners) -> Listeners {
    let all =
        |sockets: &[std::net::TcpListener]| sockets.iter().map(|one| one.try_clone().unwrap()).collect();
    Listeners { http: all(&listeners.http), tls: all(&listeners.tls) }
}

/// Beside the router that serves, and after one that was stopped before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_connection_is_refused_reset_or_left_waiting() {
    let mut house = House::new(patient_limits()).await;
    house.config.threads = THREADS[0];
    house.listeners.widen(THREADS[0]).unwrap();
    let (backend, address) = (Backend::mirror().await, house.address);
    let mut router = house.router().await;
    house.publish(WebState::Up, &[backend.address]).await;

    let (over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (over, answered) = (over.clone(), answered.clone());
        clients.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                // A connection in a queue that nobody accepts from would wait here for longer than the deadline.
                assert_eq!(get(address, "/").await.status, 200);
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    // Each router serves many before the next one comes.
    let served = async |more: usize| {
        let goal = answered.load(Ordering::Relaxed) + more;
        while answered.load(Ordering::Relaxed) < goal {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    served(200).await;
    for (threads, beside) in THREADS[1..].iter().zip([true, false].into_iter().cycle()) {
        if *threads == SOCKETS_AT_LAST {
            house.listeners.widen(SOCKETS_AT_LAST).unwrap();
            let sockets = (house.listeners.http.len(), house.listeners.tls.len());
            assert_eq!(sockets, (SOCKETS_AT_LAST, SOCKETS_AT_LAST));
            assert_eq!(house.listeners.addresses().unwrap().http, address);
        }
        house.config.threads = *threads;
        if beside {
            let next = house.router().await;
            std::mem::replace(&mut router, next).stop().await.unwrap();
        } else {
            router.stop().await.unwrap();
            router = house.router().await;
        }
        served(200).await;
    }
    over.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended.expect("no client failed");
    }
    router.stop().await.unwrap();
}

#[tokio::test]
async fn a_long_request_goes_on_and_new_connections_do_not_wait_for_it() {
    let mut house = House::new(patient_limits()).await;
    let (mut slow, elder) = (Slow::start().await, house.router().await);
    house.publish(WebState::Up, &[slow.backend.address]).await;
    let long = slow.ask(house.address, "/slow/0").await;
    let younger = house.router().await;
    let elder = tokio::spawn(elder.stop());
    for number in 0..300 {
        assert_eq!(get(house.address, &format!("/{number}")).await.status, 200);
    }
    assert!(!elder.is_finished());
    // The server sees one router, with the requests of both.
    let second = slow.ask(house.address, "/slow/1").await;
    assert_eq!(house.in_flight().await, 2);
    let status = status_of(&house.control()).await.unwrap();
    assert_eq!((status.in_flight, status.draining[0].in_flight), (1, 1));
    // A table without the dyno: it may not be stopped before both have let go of it.
    assert_eq!(house.publish(WebState::Booting, &[]).await, 2);
    slow.say.send_replace(true);
    assert_eq!((long.await.unwrap().status, second.await.unwrap().status), (200, 200));
    elder.await.unwrap().unwrap();
    assert_eq!(house.in_flight().await, 0);
    assert_eq!(status_of(&house.control()).await.unwrap().draining, []);
    assert_eq!(house.names(), ["control.sock"]);
    younger.stop().await.unwrap();
    assert_eq!(house.lines().values().sum::<usize>(), 302);
}

#[tokio::test]
async fn a_request_that_the_elder_holds_learns_of_dynos_by_the_younger() {
    let mut house = House::new(patient_limits()).await;
    let (backend, elder) = (Backend::mirror().await, house.router().await);
    house.publish(WebState::Asleep, &[]).await;
    let address = house.address;
    let held = tokio::spawn(async move { get(address, "/held").await });
    let waiting = async || house.feed.traffic(DEADLINE).await.unwrap();
    assert_eq!(waiting().await.waiting.len(), 1);
    let younger = house.router().await;
    let elder = tokio::spawn(elder.stop());
    // The app is waited for, and not idle, though nobody has asked the younger one for it.
    let traffic = waiting().await;
    assert_eq!((traffic.waiting.len(), traffic.idle.len()), (1, 0));
    house.publish(WebState::Up, &[backend.address]).await;
    assert_eq!(held.await.unwrap().status, 200);
    elder.await.unwrap().unwrap();
    younger.stop().await.unwrap();
}

/// What the server asked the elder before, it asks the younger now, without an error in between.
#[tokio::test]
async fn the_server_finds_the_younger_and_its_table_is_the_elders() {
    let mut house = House::new(patient_limits()).await;
    house.config.limits.persist_interval = DEADLINE;
    let (backend, elder) = (Backend::mirror().await, house.router().await);
    house.publish(WebState::Booting, &[]).await;
    house.publish(WebState::Up, &[backend.address]).await;
    house.feed.traffic(Duration::ZERO).await.unwrap();
    let traffic = house.feed.traffic(DEADLINE);
    let (traffic, younger) = tokio::join!(traffic, house.router());
    assert!(traffic.unwrap().waiting.is_empty());
    let elder = tokio::spawn(elder.stop());
    assert_eq!(get(house.address, "/").await.status, 200);
    // What only the elder's memory had is on disk by the younger.
    let table = house.directory.path().join("table.json");
    wait(|| std::fs::read_to_string(&table).is_ok_and(|text| text.contains("\"generation\":2"))).await;
    assert_eq!(house.in_flight().await, 0);
    elder.await.unwrap().unwrap();
    younger.stop().await.unwrap();
}

/// Whether the elder still hands its table over or is gone just then: the younger has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_table_is_lost_between_an_end_and_a_beginning() {
    let mut house = House::new(patient_limits()).await;
    house.config.limits.persist_interval = DEADLINE;
    let mut router = house.router().await;
    for _ in 0..20 {
        house.publish(WebState::Booting, &[]).await;
        let (stopped, next) = tokio::join!(router.stop(), house.router());
        stopped.unwrap();
        assert_eq!(status_of(&house.control()).await.unwrap().generation, house.generation);
        router = next;
    }
    router.stop().await.unwrap();
}

#[tokio::test]
async fn each_line_is_in_the_journal_once_through_a_chain_of_three() {
    let mut house = House::new(patient_limits()).await;
    let (mut slow, first) = (Slow::start().await, house.router().await);
    house.publish(WebState::Up, &[slow.backend.address]).await;
    let mut long = Vec::new();
    let mut routers = vec![first];
    for round in 0..3 {
        if round > 0 {
            routers.push(house.router().await);
        }
        for number in 0..20 {
            get(house.address, &format!("/{round}/{number}")).await;
        }
        long.push(slow.ask(house.address, &format!("/slow/{round}")).await);
        for number in 20..40 {
            get(house.address, &format!("/{round}/{number}")).await;
        }
    }
    assert_eq!(house.in_flight().await, 3);
    let last = routers.pop().unwrap();
    let ending: Vec<_> = routers.into_iter().map(|router| tokio::spawn(router.stop())).collect();
    slow.say.send_replace(true);
    for (asked, stopped) in long.into_iter().zip(ending.into_iter().map(Some).chain([None])) {
        assert_eq!(asked.await.unwrap().status, 200);
        if let Some(stopped) = stopped {
            stopped.await.unwrap().unwrap();
        }
    }
    last.stop().await.unwrap();
    let lines = house.lines();
    assert_eq!((lines.len(), lines.values().max()), (3 * 41, Some(&1)), "{lines:?}");
}

/// What cannot start leaves the one that serves as it was.
#[tokio::test]
async fn a_successor_that_cannot_start_is_no_loss() {
    let mut house = House::new(patient_limits()).await;
    let (backend, elder) = (Backend::mirror().await, house.router().await);
    house.publish(WebState::Up, &[backend.address]).await;
    let draft = house.directory.path().join("control.new");
    std::fs::create_dir(&draft).unwrap();
    Router::start(house.config.clone(), again(&house.listeners)).await.unwrap_err();
    assert_eq!(get(house.address, "/").await.status, 200);
    house.publish(WebState::Up, &[backend.address]).await;
    std::fs::remove_dir(&draft).unwrap();
    let younger = house.router().await;
    elder.stop().await.unwrap();
    assert_eq!(get(house.address, "/").await.status, 200);
    assert_eq!(house.in_flight().await, 0);
    assert_eq!(house.names(), ["control.sock"]);
    younger.stop().await.unwrap();
    assert_eq!(house.lines().values().sum::<usize>(), 2);
}

#[tokio::test]
async fn who_listens_says_whether_it_lets_another_begin() {
    let house = House::new(patient_limits()).await;
    let before = house.directory.path().join("before.sock");
    let listener = UnixListener::bind(&before).unwrap();
    let refuses = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let refusal = br#"{"refused":"unknown variant `lines`"}"#;
        let mut bytes = u32::try_from(refusal.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend_from_slice(refusal);
        tokio::io::AsyncWriteExt::write_all(&mut stream, &bytes).await.unwrap();
        stream
    };
    let (old, _stream) = tokio::join!(listening(&before), refuses);
    let own = std::process::id().cast_signed();
    let old = old.unwrap();
    assert_eq!((old.pid, old.hands_over), (own, false));
    let router = house.router().await;
    let new = listening(&house.control()).await.unwrap();
    assert_eq!((new.pid, new.hands_over), (own, true));
    router.stop().await.unwrap();
}

// === deaths ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successor_that_is_killed_leaves_the_elder_draining_and_the_next_one_whole() {
    let mut house = House::new(patient_limits()).await;
    let (mut slow, elder) = (Slow::start().await, house.router().await);
    house.publish(WebState::Up, &[slow.backend.address]).await;
    let long = slow.ask(house.address, "/slow/0").await;
    let short = slow.ask(house.address, "/apart").await;
    let mut killed = Process::start(&house);
    let elder = tokio::spawn(elder.stop());
    assert_eq!(get(killed.address, "/killed").await.status, 200);
    wait(|| house.lines().contains_key("/killed")).await;
    killed.end();
    // Nobody takes the elder's lines: it writes them itself.
    slow.apart.send_replace(true);
    assert_eq!(short.await.unwrap().status, 200);
    wait(|| house.lines().contains_key("/apart")).await;
    let next = house.router().await;
    assert_eq!(house.in_flight().await, 1);
    assert_eq!(get(house.address, "/next").await.status, 200);
    slow.say.send_replace(true);
    assert_eq!(long.await.unwrap().status, 200);
    elder.await.unwrap().unwrap();
    assert_eq!(house.in_flight().await, 0);
    next.stop().await.unwrap();
    let lines = ["/apart", "/killed", "/next", "/slow/0"].map(|path| (path.to_owned(), 1));
    assert_eq!(house.lines(), lines.into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_predecessor_that_is_killed_takes_nothing_with_it_but_its_requests() {
    let mut house = House::new(patient_limits()).await;
    let mut slow = Slow::start().await;
    let mut elder = Process::start(&house);
    house.publish(WebState::Up, &[slow.backend.address]).await;
    let lost = slow.ask(elder.address, "/slow/0").await;
    let younger = house.router().await;
    assert_eq!(house.in_flight().await, 1);
    elder.end();
    assert!(lost.await.is_err());
    assert_eq!(house.in_flight().await, 0);
    assert_eq!(get(house.address, "/next").await.status, 200);
    assert_eq!(house.names(), ["control.sock"]);
    younger.stop().await.unwrap();
    assert_eq!(house.lines(), [("/next".to_owned(), 1)].into());
}

/// Not a test: what [`Process`] is.
#[tokio::test]
async fn process_of_its_own() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let directory = TempDir::new_in(directory).unwrap();
    let mut config = config(&directory, patient_limits());
    config.directory = directory.path().parent().unwrap().to_owned();
    let listeners = Listeners::bind(&config).unwrap();
    let ready = |addresses: renga_router::Addresses| println!("\nserves at {}", addresses.http);
    renga_router::run(config, listeners, CancellationToken::new(), ready, || {}).await.unwrap();
}

const DIRECTORY: &str = "RENGA_TEST_ROUTER_DIRECTORY";

/// A router that can be killed.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    fn start(house: &House) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "handover::process_of_its_own", "--nocapture"]);
        command.env(DIRECTORY, house.directory.path()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = lines.map(Result::unwrap).find_map(|line| line.strip_prefix("serves at ")?.parse().ok());
        Self { child, address: said.expect("a router that serves") }
    }

    fn end(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

// === one directory and its sockets, for routers one after another ===

struct House {
    directory: Arc<TempDir>,
    config: Config,
    listeners: Listeners,
    address: SocketAddr,
    feed: UnixRouteFeed,
    generation: u64,
}

impl House {
    async fn new(limits: Limits) -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let config = config(&directory, limits);
        let listeners = Listeners::bind(&config).unwrap();
        let address = listeners.addresses().unwrap().http;
        let feed = UnixRouteFeed::new(directory.path().join("control.sock"));
        Self { directory, config, listeners, address, feed, generation: 0 }
    }

    async fn router(&self) -> Router {
        Router::start(self.config.clone(), again(&self.listeners)).await.unwrap()
    }

    fn control(&self) -> std::path::PathBuf {
        self.directory.path().join("control.sock")
    }

    /// How many requests are under way then.
    async fn publish(&mut self, web: WebState, dynos: &[SocketAddr]) -> u32 {
        self.generation += 1;
        let dynos = dynos.iter().zip(1..).map(|(address, number)| dyno(number, *address)).collect();
        let table =
            RouteTable { generation: self.generation, apps: vec![app(web, dynos)], ..RouteTable::default() };
        self.feed.publish(&table).await.unwrap().in_flight.values().sum()
    }

    async fn in_flight(&self) -> u32 {
        let table = RouteTable { generation: self.generation, ..RouteTable::default() };
        // Of a generation that the router has, the table does not travel.
        self.feed.publish(&table).await.unwrap().in_flight.values().sum()
    }

    /// How often the path of each request is in the journal.
    fn lines(&self) -> BTreeMap<String, usize> {
        let mut reader = SegmentReader::open(&self.directory.path().join("log"), 0).unwrap();
        let mut lines = BTreeMap::new();
        while let Some(entry) = reader.next_entry().unwrap() {
            let Entry::Record(record) = entry else { panic!("lines are lost: {entry:?}") };
            let line = String::from_utf8(record.data).unwrap();
            let path = line.split("path=\"").nth(1).and_then(|rest| rest.split('"').next());
            *lines.entry(path.expect("a path").to_owned()).or_default() += 1;
        }
        lines
    }

    /// Sockets in the directory.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name.ends_with(".sock")).collect();
        names.sort();
        names
    }
}

/// A dyno that answers at once, but for paths that begin with `/slow`, and `/apart`.
struct Slow {
    backend: Backend,
    say: watch::Sender<bool>,
    apart: watch::Sender<bool>,
    seen: mpsc::UnboundedReceiver<()>,
}

impl Slow {
    async fn start() -> Self {
        let ((say, told), (apart, told_apart)) = (watch::channel(false), watch::channel(false));
        let (see, seen) = mpsc::unbounded_channel();
        let backend = Backend::start(move |mut client| {
            let (told, told_apart, see) = (told.clone(), told_apart.clone(), see.clone());
            async move {
                while let Some(head) = client.head().await {
                    let path = head.split(' ').nth(1).unwrap();
                    let waits = [("/slow", &told), ("/apart", &told_apart)];
                    if let Some((_, told)) = waits.iter().find(|(prefix, _)| path.starts_with(prefix)) {
                        see.send(()).unwrap();
                        _ = (*told).clone().wait_for(|told| *told).await;
                    }
                    client.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
                }
            }
        })
        .await;
        Self { backend, say, apart, seen }
    }

    /// Returns when the dyno has the request.
    async fn ask(&mut self, address: SocketAddr, path: &str) -> tokio::task::JoinHandle<Reply> {
        let path = path.to_owned();
        let asked = tokio::spawn(async move { get(address, &path).await });
        self.seen.recv().await.unwrap();
        asked
    }
}

async fn get(address: SocketAddr, path: &str) -> Reply {
    let stream = TcpStream::connect(address).await.expect("nobody is refused");
    let mut client = Peer::new(stream);
    client.send(&format!("GET {path} HTTP/1.1\r\nHost: app.localhost\r\nConnection: close\r\n\r\n")).await;
    client.reply().await
}

async fn wait(mut done: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < end, "it did not come");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
