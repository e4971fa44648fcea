//! A router in a temporary directory, dynos that say what a test wants, and a client that shows what came.

use std::{
    collections::BTreeMap,
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use renga_model::{AppId, DynoId, RouteApp, RouteDyno, RouteTable, WebState};
use renga_ports::{Published, RouteFeed, SystemClock};
use renga_router::{Addresses, Config, Limits, Listeners, Router, UnixRouteFeed};
use renga_supervision::{Entry, SegmentReader};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
};

pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// No time of these runs out in a test, however busy the machine is.
pub(crate) fn patient_limits() -> Limits {
    Limits {
        connect_timeout: DEADLINE,
        first_byte_timeout: DEADLINE,
        idle_timeout: DEADLINE,
        hold_timeout: DEADLINE,
        header_read_timeout: DEADLINE,
        ..short_limits()
    }
}

/// For tests of what happens when a time runs out.
pub(crate) fn short_limits() -> Limits {
    Limits {
        connect_timeout: Duration::from_millis(300),
        quarantine: Duration::from_millis(400),
        first_byte_timeout: Duration::from_millis(300),
        idle_timeout: Duration::from_millis(500),
        hold_timeout: Duration::from_millis(800),
        header_read_timeout: Duration::from_millis(1_500),
        persist_interval: Duration::from_millis(20),
        linger: Duration::from_millis(50),
        ..Limits::default()
    }
}

// === the router ===

pub(crate) struct Rig {
    pub(crate) directory: Arc<TempDir>,
    pub(crate) addresses: Addresses,
    pub(crate) feed: UnixRouteFeed,
    router: Option<Router>,
    lines: SegmentReader,
    generation: u64,
}

pub(crate) fn config(directory: &TempDir, limits: Limits) -> Config {
    Config {
        http: "127.0.0.1:0".parse().unwrap(),
        tls: "127.0.0.1:0".parse().unwrap(),
        directory: directory.path().to_owned(),
        certificates: directory.path().join("certificates.sock"),
        control_gid: None,
        domain: "localhost".into(),
        proxy_protocol: Vec::new(),
        trusted_proxies: Vec::new(),
        metrics: None,
        threads: 2,
        drain_timeout: Duration::from_secs(5),
        clock: Arc::new(SystemClock),
        limits,
    }
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::with(patient_limits()).await
    }

    /// With times that run out soon.
    pub(crate) async fn hasty() -> Self {
        Self::with(short_limits()).await
    }

    pub(crate) async fn with(limits: Limits) -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let config = config(&directory, limits);
        Self::from(directory, config).await
    }

    pub(crate) async fn from(directory: Arc<TempDir>, config: Config) -> Self {
        let listeners = Listeners::bind(&config).unwrap();
        let after = SegmentReader::open(&directory.path().join("log"), 0).map(|mut reader| {
            while let Ok(Some(_)) = reader.next_entry() {}
            reader.after_seq()
        });
        let lines = SegmentReader::open(&directory.path().join("log"), after.unwrap()).unwrap();
        let router = Router::start(config, listeners).await.unwrap();
        let feed = UnixRouteFeed::new(directory.path().join("control.sock"));
        Self { addresses: router.addresses(), router: Some(router), feed, lines, directory, generation: 0 }
    }

    /// One app at `app.localhost` with these dynos.
    pub(crate) async fn serve(&mut self, dynos: &[SocketAddr]) -> Published {
        let dynos = dynos.iter().zip(1..).map(|(address, number)| dyno(number, *address)).collect();
        self.publish(app(WebState::Up, dynos)).await
    }

    pub(crate) async fn publish(&mut self, app: RouteApp) -> Published {
        self.generation += 1;
        let table = RouteTable { generation: self.generation, apps: vec![app], ..RouteTable::default() };
        self.feed.publish(&table).await.unwrap()
    }

    pub(crate) async fn client(&self) -> Peer<TcpStream> {
        Peer::new(TcpStream::connect(self.addresses.http).await.unwrap())
    }

    /// One request on a connection of its own.
    pub(crate) async fn ask(&self, request: &str) -> Reply {
        let mut client = self.client().await;
        client.send(request).await;
        client.reply().await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: app.localhost\r\n\r\n")).await
    }

    /// The next line of the log, with times and ids made the same.
    pub(crate) async fn line(&mut self) -> String {
        steady(&self.raw_line().await)
    }

    pub(crate) async fn raw_line(&mut self) -> String {
        let end = Instant::now() + DEADLINE;
        loop {
            match self.lines.next_entry().unwrap() {
                Some(Entry::Record(record)) => {
                    assert_eq!(record.tag, app_id().uuid().into_bytes());
                    return String::from_utf8(record.data).unwrap();
                }
                Some(Entry::Gap { lost }) => panic!("{lost} lines lost"),
                None => {}
            }
            assert!(Instant::now() < end, "no line came");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// There must be no further line once the router has ended.
    pub(crate) async fn stop(mut self) {
        self.router.take().unwrap().stop().await.unwrap();
        if let Some(Entry::Record(record)) = self.lines.next_entry().unwrap() {
            panic!("unexpected line: {}", String::from_utf8_lossy(&record.data));
        }
    }

    /// Requests in flight of all dynos, when they have come to rest or the deadline has passed.
    pub(crate) async fn feed_in_flight(&self) -> u32 {
        let table = RouteTable { generation: self.generation, apps: vec![], ..RouteTable::default() };
        // Of a generation that the router has, the table does not travel.
        self.feed.publish(&table).await.unwrap().in_flight.values().sum()
    }

    pub(crate) fn take_router(&mut self) -> Router {
        self.router.take().unwrap()
    }
}

pub(crate) fn app_id() -> AppId {
    "11111111-2222-4333-8444-555555555555".parse().unwrap()
}

pub(crate) fn app(web: WebState, dynos: Vec<RouteDyno>) -> RouteApp {
    RouteApp {
        id: app_id(),
        name: "app".parse().unwrap(),
        hosts: vec!["app.localhost".into()],
        certificates: BTreeMap::new(),
        maintenance: false,
        web,
        dynos,
        error_page_url: None,
        maintenance_page_url: None,
        flags: renga_model::RouteFlags::default(),
    }
}

pub(crate) fn dyno(number: u32, address: SocketAddr) -> RouteDyno {
    let id = format!("00000000-0000-4000-8000-{number:012}");
    RouteDyno { id: id.parse::<DynoId>().unwrap(), name: format!("web.{number}").parse().unwrap(), address }
}

/// A line with its times and its id made the same.
pub(crate) fn steady(line: &str) -> String {
    let word = |word: &str| match word.split_once('=') {
        Some(("request_id", _)) => "request_id=ID".to_owned(),
        Some((key @ ("connect" | "service"), time)) if time.ends_with("ms") => format!("{key}=Nms"),
        _ => word.to_owned(),
    };
    line.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

// === both ends of a connection ===

/// One side of an HTTP/1 connection, byte by byte.
pub(crate) struct Peer<S> {
    pub(crate) stream: S,
    buffer: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        header(&self.head, name)
    }
}

pub(crate) fn header<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    async fn fill(&mut self) -> usize {
        let mut chunk = [0; 16 * 1024];
        let read = tokio::time::timeout(DEADLINE, self.stream.read(&mut chunk)).await;
        let read = read.expect("nothing came in time").unwrap_or(0);
        self.buffer.extend_from_slice(&chunk[..read]);
        read
    }

    fn take(&mut self, bytes: usize) -> String {
        String::from_utf8(self.buffer.drain(..bytes).collect()).unwrap()
    }

    /// Up to and with `end`; `None` if the stream ended first.
    pub(crate) async fn until(&mut self, end: &str) -> Option<String> {
        loop {
            let found = self.buffer.windows(end.len()).position(|bytes| bytes == end.as_bytes());
            if let Some(at) = found {
                return Some(self.take(at + end.len()));
            }
            if self.fill().await == 0 {
                return None;
            }
        }
    }

    pub(crate) async fn exactly(&mut self, bytes: usize) -> String {
        while self.buffer.len() < bytes {
            assert_ne!(self.fill().await, 0, "the stream ended early");
        }
        self.take(bytes)
    }

    pub(crate) async fn rest(&mut self) -> String {
        while self.fill().await > 0 {}
        self.take(self.buffer.len())
    }

    pub(crate) async fn head(&mut self) -> Option<String> {
        self.until("\r\n\r\n").await
    }

    /// A body as its head frames it. `to_end`: without any framing it goes on to the end of the stream.
    pub(crate) async fn body(&mut self, head: &str, to_end: bool) -> String {
        if header(head, "transfer-encoding").iter().any(|value| value.contains("chunked")) {
            return self.chunks().await;
        }
        match header(head, "content-length").first() {
            Some(length) => self.exactly(length.parse().unwrap()).await,
            None if to_end => self.rest().await,
            None => String::new(),
        }
    }

    async fn chunks(&mut self) -> String {
        let mut body = String::new();
        loop {
            let size = self.until("\r\n").await.expect("a chunk's size");
            let size = usize::from_str_radix(size.trim(), 16).unwrap();
            body += &self.exactly(size).await;
            self.until("\r\n").await.expect("a chunk's end");
            if size == 0 {
                return body;
            }
        }
    }

    pub(crate) async fn reply(&mut self) -> Reply {
        self.reply_to("GET").await
    }

    pub(crate) async fn reply_to(&mut self, method: &str) -> Reply {
        let head = self.head().await.expect("an answer");
        let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
        let bodiless = method == "HEAD" || status < 200 || status == 204 || status == 304;
        let body = if bodiless { String::new() } else { self.body(&head, true).await };
        Reply { status, head, body }
    }
}

// === dynos ===

/// A dyno that accepts nothing: its port is taken, so that nobody else gets it, and not listened on.
pub(crate) fn refusing() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    /// Connections so far.
    pub(crate) connections: Arc<AtomicUsize>,
    /// Ends with the test.
    _tasks: JoinSet<()>,
}

impl Backend {
    /// `handler` gets every connection.
    pub(crate) async fn start<F>(handler: impl Fn(Peer<TcpStream>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::at(TcpListener::bind("127.0.0.1:0").await.unwrap(), handler)
    }

    pub(crate) fn at<F>(
        listener: TcpListener,
        handler: impl Fn(Peer<TcpStream>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (address, connections) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let count = connections.clone();
        let accept = async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                stream.set_nodelay(true).unwrap();
                open.spawn(handler(Peer::new(stream)));
            }
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(accept);
        Self { address, connections, _tasks: tasks }
    }

    /// Answers every request on a connection with what it read: the head, then the body.
    pub(crate) async fn mirror() -> Self {
        Self::start(|mut client| async move {
            while let Some(head) = client.head().await {
                let body = client.body(&head, false).await;
                let answer = format!("{head}{body}");
                let length = answer.len();
                client.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{answer}")).await;
            }
        })
        .await
    }

    /// Reads a head, sends `answer`, and closes.
    pub(crate) async fn says(answer: &'static str) -> Self {
        Self::start(move |mut client| async move {
            if client.head().await.is_some() {
                client.send(answer).await;
            }
        })
        .await
    }

    /// Reads a head, sends `answer`, and keeps the connection open without a word until the other side ends it.
    pub(crate) async fn says_and_waits(answer: &'static str) -> Self {
        Self::start(move |mut client| async move {
            if client.head().await.is_some() {
                client.send(answer).await;
                client.rest().await;
            }
        })
        .await
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}
