//! What the router must be told. It reads neither the environment nor a file of settings; the binary fills this.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use renga_model::limits;
use renga_ports::Clock;

use crate::{
    forwarded::Network,
    http::{
        request::RequestLimits,
        response::{self, AnswerLimits},
        scan::HeadLimits,
    },
};

#[derive(Clone)]
pub struct Config {
    /// Where clients are expected with plain HTTP, and where with TLS. Both ports speak both; port 0 picks a free one.
    pub http: SocketAddr,
    pub tls: SocketAddr,
    /// `DATA_DIR/router`: `table.json`, `control.sock`, `certificates/` and `log/`.
    pub directory: PathBuf,
    /// The socket on which the server issues certificates.
    pub certificates: PathBuf,
    /// The group that may connect to `control.sock` and read `log/` (the server's). Without one, only our own uid may.
    pub control_gid: Option<u32>,
    /// The domain below which apps have their names; its certificate answers clients that name no host.
    pub domain: String,
    /// Connections from here begin with a PROXY header, which says who the client is.
    pub proxy_protocol: Vec<Network>,
    /// What requests from here say of the client's address, protocol and port is believed.
    pub trusted_proxies: Vec<Network>,
    /// Where metrics are told to whoever asks; none: on the control socket only.
    pub metrics: Option<SocketAddr>,
    /// Threads that serve traffic; the machine's cores as a rule.
    pub threads: usize,
    /// How long requests under way may go on after the order to stop.
    pub drain_timeout: Duration,
    pub clock: Arc<dyn Clock>,
    pub limits: Limits,
}

/// Every limit of the traffic path. [`Limits::default`] holds Heroku's published figures, and ours where none is.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Client connections of the process. Further ones wait in the kernel's queue (ours).
    pub connections_max: usize,
    /// Requests of the process that wait for a dyno (ours).
    pub held_max: usize,
    /// Requests in flight per running web dyno of an app (Heroku: 200, H11).
    pub in_flight_per_dyno: u32,
    /// TCP connect to a dyno (Heroku: 5 s).
    pub connect_timeout: Duration,
    /// Dynos that one request tries (Heroku: 10).
    pub connect_attempts_max: usize,
    /// How long a dyno that did not accept is passed over (Heroku: 5 s).
    pub quarantine: Duration,
    /// First byte of the answer (Heroku: 30 s, H12).
    pub first_byte_timeout: Duration,
    /// Rolling window without a byte after that, or while the client sends (Heroku: 55 s, H15 and H28).
    pub idle_timeout: Duration,
    /// How long a request waits for a dyno to be up (Heroku: 75 s, H20).
    pub hold_timeout: Duration,
    /// From the connection, or the last answer on it, to a complete request head (Heroku: 1 minute).
    pub header_read_timeout: Duration,
    /// A TLS handshake with a client (ours).
    pub handshake_timeout: Duration,
    /// Idle connections to dynos (Heroku: 90 s); shorter where the dyno says so by `Keep-Alive: timeout=`.
    pub pool_idle_timeout: Duration,
    /// A request that must not be sent twice takes no connection that was idle for longer (ours).
    pub pool_idle_unrepeatable: Duration,
    /// Idle connections that a thread keeps to one dyno, and in all (ours).
    pub pool_per_dyno_max: usize,
    pub pool_max: usize,
    /// Request line and header line (Heroku: 8,192 bytes each), header name (Heroku: 1,000), number of headers
    /// (Heroku: 1,000), method (Heroku: 127).
    pub request_line_bytes_max: usize,
    pub header_line_bytes_max: usize,
    pub header_name_bytes_max: usize,
    pub header_count_max: usize,
    pub method_bytes_max: usize,
    /// A whole request head (ours).
    pub request_head_bytes_max: usize,
    /// A header line of an answer (Heroku: 512 KB), a cookie (Heroku: 8,192), the whole head (Heroku's buffer: 1 MB).
    pub response_header_line_bytes_max: usize,
    /// A status line of an answer (Heroku: 8,192).
    pub status_line_bytes_max: usize,
    pub cookie_bytes_max: usize,
    pub response_head_bytes_max: usize,
    /// On the order to stop, idle connections stay open this long for requests that are on the wire already (ours).
    pub linger: Duration,
    /// Certificates kept in memory and on disk (ours), and the age at which a new one is asked for.
    pub certificates_max: usize,
    pub certificate_refresh: Duration,
    /// Asking the server for a certificate (ours).
    pub certificate_timeout: Duration,
    /// The table is written to disk at most once in this time.
    pub persist_interval: Duration,
    /// Bytes of log segments on disk; the oldest go first, counted (ours).
    pub log_bytes_max: u64,
}

impl Limits {
    pub(crate) fn request(&self) -> RequestLimits {
        let head = HeadLimits {
            first_line_bytes_max: self.request_line_bytes_max,
            line_bytes_max: self.header_line_bytes_max,
            fields_max: self.header_count_max,
            bare_lf: false,
        };
        RequestLimits {
            head,
            method_bytes_max: self.method_bytes_max,
            name_bytes_max: self.header_name_bytes_max,
        }
    }

    /// Lines may be as long as the whole head, so that the one which is too long can be named.
    pub(crate) fn answer_head(&self) -> HeadLimits {
        HeadLimits {
            first_line_bytes_max: self.status_line_bytes_max,
            line_bytes_max: self.response_head_bytes_max,
            fields_max: response::FIELDS_MAX,
            bare_lf: true,
        }
    }

    pub(crate) fn answer(&self) -> AnswerLimits {
        AnswerLimits {
            cookie_bytes_max: self.cookie_bytes_max,
            line_bytes_max: self.response_header_line_bytes_max,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 20_000,
            held_max: 10_000,
            in_flight_per_dyno: 200,
            connect_timeout: limits::ROUTER_CONNECT,
            connect_attempts_max: 10,
            quarantine: Duration::from_secs(5),
            first_byte_timeout: limits::ROUTER_FIRST_BYTE,
            idle_timeout: limits::ROUTER_IDLE,
            hold_timeout: limits::ROUTER_HOLD,
            header_read_timeout: Duration::from_secs(60),
            handshake_timeout: Duration::from_secs(10),
            pool_idle_timeout: Duration::from_secs(90),
            pool_idle_unrepeatable: Duration::from_secs(1),
            pool_per_dyno_max: 200,
            pool_max: 4_096,
            request_line_bytes_max: 8_192,
            header_line_bytes_max: 8_192,
            header_name_bytes_max: 1_000,
            header_count_max: 1_000,
            method_bytes_max: 127,
            request_head_bytes_max: 256 * 1024,
            response_header_line_bytes_max: 512 * 1024,
            status_line_bytes_max: 8_192,
            cookie_bytes_max: 8_192,
            response_head_bytes_max: 1024 * 1024,
            linger: Duration::from_millis(250),
            certificates_max: 1_024,
            certificate_refresh: Duration::from_secs(12 * 60 * 60),
            certificate_timeout: Duration::from_secs(5),
            persist_interval: Duration::from_secs(1),
            log_bytes_max: 256 * 1024 * 1024,
        }
    }
}
