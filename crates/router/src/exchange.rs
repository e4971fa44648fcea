//! The account of one request, from its head to its line in the log.
//!
//! ```text
//! begun ──pick──> at a dyno ──connected──> sent ──answer──> relayed ──end──> told
//!   └──────────┴────────────┴───────────┴──────┴── refused (a code and a page) ──^
//!                                      dropped on the way: the client left (H27, H28), or our time was up (H24) ──^
//! ```
//!
//! It holds a place in the counts of the app and of the dyno, and gives both back when it is told, which happens once.

use std::{
    cell::Cell,
    io::Write,
    ops::Range,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use renga_model::DynoId;

use crate::{
    answer::Page,
    codes::{Code, NO_STATUS},
    http::{Version, request::Head},
    table::{App, AppCounters, Dyno, DynoCounters},
    thread::{Pinned, Thread},
};

/// Of `X-Forwarded-For` the log shows this much, so that a line stays under the limit.
const FORWARDED_BYTES_SHOWN: usize = 1_024;

/// What a client's connection says of itself.
pub(crate) struct Door {
    pub(crate) peer: String,
    /// A proxy of the operator's: what it says of the client is believed.
    pub(crate) from_proxy: bool,
    /// `tls1.2`, `tls1.3`, `unknown`; none on a plain connection.
    pub(crate) tls: Option<&'static str>,
    /// A write to the client waited too long.
    pub(crate) stalled: Arc<AtomicBool>,
}

/// What the log says of a request, as it is known before anything is done with it.
pub(crate) struct Told {
    /// ` method=GET ... fwd="192.0.2.1"`
    words: Vec<u8>,
    /// The host's name among them.
    host: Range<usize>,
    pub(crate) version: Version,
}

pub(crate) struct Exchange {
    pub(crate) thread: Rc<Thread>,
    pub(crate) door: Rc<Door>,
    pub(crate) told: Told,
    pub(crate) begun: Instant,
    pub(crate) begun_at: Timestamp,
    place: Place,
    /// In the app's count.
    counted: bool,
    /// The dyno has done its part: no longer in its count.
    parted: bool,
    /// The dyno that the client wants to come back to.
    pub(crate) wanted: Option<DynoId>,
    /// The dyno that did not accept last: it is no longer at it, but the log names it.
    tried: Option<Arc<str>>,
    pub(crate) connect: Option<Duration>,
    connected: Option<Instant>,
    /// Bytes from the dyno to the client, once a request has been sent.
    bytes: Option<u64>,
    status: u16,
    done: Cell<bool>,
}

/// Where the request is: in a table, or, for the long ones, at counters of its own, so that it holds no old table.
enum Place {
    InTable { table: Rc<Pinned>, app: usize, dyno: Option<usize> },
    Apart { app: Arc<AppCounters>, dyno: Option<(Arc<DynoCounters>, Arc<str>)> },
}

// === impl Told ===

impl Told {
    pub(crate) fn new(head: &Head<'_>, host: &str, request_id: &[u8], forwarded_for: &[u8]) -> Self {
        let mut words = Vec::with_capacity(128 + head.path.len() + forwarded_for.len());
        put(&mut words, format_args!(" method={} path=\"", head.method));
        put_quoted(&mut words, head.path.as_bytes());
        words.extend_from_slice(b"\" host=");
        let host_at = words.len();
        words.extend_from_slice(host.as_bytes());
        let host = host_at..words.len();
        words.extend_from_slice(b" request_id=");
        words.extend_from_slice(request_id);
        words.extend_from_slice(b" fwd=\"");
        put_quoted(&mut words, &forwarded_for[..forwarded_for.len().min(FORWARDED_BYTES_SHOWN)]);
        words.push(b'"');
        Self { words, host, version: head.version }
    }

    pub(crate) fn host(&self) -> &str {
        // It was text when it came.
        std::str::from_utf8(&self.words[self.host.clone()]).unwrap_or_default()
    }
}

// === impl Place ===

impl Place {
    fn app(&self) -> &AppCounters {
        match self {
            Self::InTable { table, app, .. } => &table.apps[*app].counters,
            Self::Apart { app, .. } => app,
        }
    }

    fn dyno(&self) -> Option<(&DynoCounters, &str)> {
        match self {
            Self::InTable { table, app, dyno } => {
                let dyno = &table.apps[*app].dynos[(*dyno)?];
                Some((&dyno.counters, &dyno.name))
            }
            Self::Apart { dyno, .. } => dyno.as_ref().map(|(counters, name)| (&**counters, &**name)),
        }
    }
}

// === impl Exchange ===

impl Exchange {
    pub(crate) fn new(
        thread: &Rc<Thread>,
        door: &Rc<Door>,
        told: Told,
        table: Rc<Pinned>,
        app: usize,
    ) -> Self {
        Self {
            begun: Instant::now(),
            begun_at: thread.shared.config.clock.now(),
            thread: thread.clone(),
            door: door.clone(),
            told,
            place: Place::InTable { table, app, dyno: None },
            counted: false,
            parted: false,
            wanted: None,
            tried: None,
            connect: None,
            connected: None,
            bytes: None,
            status: 0,
            done: Cell::new(false),
        }
    }

    /// Takes a place in the app's count, unless there are too many.
    pub(crate) fn enter_app(&mut self, limit: u32) -> Result<(), Code> {
        let before = self.place.app().enter(self.thread.shared.tables.ms_at(self.begun));
        self.counted = true;
        if before < limit { Ok(()) } else { Err(Code::H11) }
    }

    /// The app in the table that the request holds. Only before the answer, while it is in a table.
    pub(crate) fn app(&self) -> Option<&App> {
        match &self.place {
            Place::InTable { table, app, .. } => Some(&table.apps[*app]),
            Place::Apart { .. } => None,
        }
    }

    /// Whether the table that the request holds is the newest.
    pub(crate) fn is_current(&self) -> bool {
        let version = self.thread.shared.tables.version();
        matches!(&self.place, Place::InTable { table, .. } if table.version == version)
    }

    /// Goes on with the newest table. False if the app is not in it any more.
    pub(crate) fn renew(&mut self) -> bool {
        self.leave_dyno();
        if self.is_current() {
            return true;
        }
        let table = self.thread.table();
        let Some(app) = table.find(self.told.host()) else { return false };
        let same = table.apps[app].counters.id == self.place.app().id;
        if same {
            self.place = Place::InTable { table, app, dyno: None };
        }
        same
    }

    /// Takes a place at a dyno of the table. False if that table is no longer the current one: choose anew.
    pub(crate) fn enter_dyno(&mut self, index: usize) -> bool {
        self.leave_dyno();
        let Place::InTable { table, dyno, app } = &mut self.place else { return false };
        table.apps[*app].dynos[index].counters.enter(self.thread.index);
        *dyno = Some(index);
        if self.thread.shared.tables.version() == table.version {
            return true;
        }
        self.leave_dyno();
        false
    }

    fn leave_dyno(&mut self) {
        self.part();
        self.parted = false;
        match &mut self.place {
            Place::InTable { dyno, .. } => *dyno = None,
            Place::Apart { dyno, .. } => *dyno = None,
        }
    }

    /// The dyno has done its part of the request, though the client may not have the whole answer yet.
    pub(crate) fn part(&mut self) {
        if let Some((counters, _)) = self.place.dyno().filter(|_| !self.parted) {
            counters.leave(self.thread.index);
            self.parted = true;
        }
    }

    pub(crate) fn dyno(&self) -> Option<&Dyno> {
        match &self.place {
            Place::InTable { table, app, dyno } => dyno.map(|dyno| &table.apps[*app].dynos[dyno]),
            Place::Apart { .. } => None,
        }
    }

    /// Whether the dyno has left the table since it was chosen.
    pub(crate) fn dyno_left(&self) -> bool {
        self.place.dyno().is_none_or(|(counters, _)| counters.has_left())
    }

    /// Lets go of the table. For what may last: a long answer, a byte pipe.
    pub(crate) fn stand_apart(&mut self) {
        if let Place::InTable { table, app, dyno } = &self.place {
            let app = &table.apps[*app];
            let dyno = dyno.map(|dyno| (app.dynos[dyno].counters.clone(), app.dynos[dyno].name.clone()));
            self.place = Place::Apart { app: app.counters.clone(), dyno };
        }
    }

    /// The dyno that it is at did not accept.
    pub(crate) fn note_tried(&mut self) {
        self.tried = self.dyno().map(|dyno| dyno.name.clone());
    }

    pub(crate) fn note_connected(&mut self, connect: Duration) {
        self.connect = Some(connect);
        self.connected = Some(Instant::now());
    }

    pub(crate) fn note_sent(&mut self) {
        self.bytes = Some(0);
    }

    pub(crate) fn note_status(&mut self, status: u16) {
        self.status = status;
    }

    pub(crate) fn note_bytes(&mut self, bytes: u64) {
        *self.bytes.get_or_insert(0) += bytes;
    }

    /// Ends in the router's own answer.
    pub(crate) fn refuse(&mut self, code: Code) -> Page {
        let page = self.app().map(|app| app.pages.for_code(code)).unwrap_or_default();
        self.fail(code);
        // A client that is gone or stalled reads no status; it must be a valid one all the same.
        let status = if code.wording().status == NO_STATUS { 503 } else { code.wording().status };
        Page::html(status, page)
    }

    /// Ends in a redirection of the router's.
    pub(crate) fn redirect(&mut self, location: String) -> Page {
        let page = Page::redirect(location);
        self.note_status(page.status);
        self.finish();
        page
    }

    /// Ends well: the answer has been passed on whole.
    pub(crate) fn finish(&mut self) {
        self.tell(None);
    }

    /// Ends with a code, whatever the client has seen by now.
    pub(crate) fn fail(&mut self, code: Code) {
        self.tell(Some(code));
    }

    /// The app is gone, and its log with it.
    pub(crate) fn forget(&mut self) {
        self.release();
    }

    fn tell(&mut self, code: Option<Code>) {
        if self.done.get() {
            return;
        }
        let at = self.thread.shared.config.clock.now();
        let app = self.place.app().id;
        self.thread.journal.line(app, at, |text| self.write_line(code, text));
        let status = code.map_or(self.status, |code| code.wording().status);
        let (service, bytes) = (self.begun.elapsed(), self.bytes.unwrap_or(0));
        self.thread.counts().record(self.place.app(), status, code, service, bytes);
        self.release();
    }

    /// Gives back the places in the counts.
    fn release(&mut self) {
        if self.done.replace(true) {
            return;
        }
        if std::mem::take(&mut self.counted) {
            self.place.app().leave();
        }
        self.part();
    }

    fn write_line(&self, code: Option<Code>, text: &mut Vec<u8>) {
        let status = match code.map(Code::wording) {
            Some(wording) => {
                if let Some(sock) = wording.sock {
                    put(text, format_args!("sock={sock} "));
                }
                put(text, format_args!("at={} code={} desc=\"{}\"", wording.at, wording.code, wording.desc));
                if let Some(cause) = wording.cause {
                    put(text, format_args!(" cause=\"{cause}\""));
                }
                wording.status
            }
            None => {
                text.extend_from_slice(b"at=info");
                self.status
            }
        };
        self.write_request(text);
        self.write_service(status, text);
    }

    fn write_request(&self, text: &mut Vec<u8>) {
        text.extend_from_slice(&self.told.words);
        text.extend_from_slice(b" dyno=");
        let dyno = self.place.dyno().map(|(_, name)| name).or(self.tried.as_deref());
        text.extend_from_slice(dyno.unwrap_or_default().as_bytes());
    }

    fn write_service(&self, status: u16, text: &mut Vec<u8>) {
        let millis = |time: Option<Duration>| Optional(time.map(|time| time.as_millis()), "ms");
        let service = self.connected.map(|connected| connected.elapsed());
        put(text, format_args!(" connect={} service={}", millis(self.connect), millis(service)));
        let status = Optional((status != NO_STATUS).then_some(status), "");
        put(text, format_args!(" status={status} bytes={}", Optional(self.bytes, "")));
        let protocol = self.told.version.number();
        let tls = self.door.tls;
        let version = tls.unwrap_or("unknown");
        put(text, format_args!(" protocol=http{protocol} tls={} tls_version={version}", tls.is_some()));
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.done.get() {
            return;
        }
        let code = if std::thread::panicking() {
            Code::H99
        } else if self.thread.forced.get() {
            Code::H24
        } else if self.door.stalled.load(Ordering::Relaxed) {
            Code::H28
        } else {
            Code::H27
        };
        self.tell(Some(code));
    }
}

// === words of a line ===

/// A number and its unit, or nothing at all.
struct Optional<T>(Option<T>, &'static str);

impl<T: std::fmt::Display> std::fmt::Display for Optional<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some(value) => write!(f, "{value}{}", self.1),
            None => Ok(()),
        }
    }
}

fn put(text: &mut Vec<u8>, words: std::fmt::Arguments<'_>) {
    text.write_fmt(words).expect("a vector takes every write");
}

/// A client must not be able to end the quotes, or the line.
fn put_quoted(text: &mut Vec<u8>, value: &[u8]) {
    for &byte in value {
        match byte {
            b'"' => text.extend_from_slice(b"%22"),
            0x00..0x20 | 0x7f => put(text, format_args!("%{byte:02X}")),
            _ => text.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_control_characters_cannot_forge_fields() {
        let mut text = Vec::new();
        put_quoted(&mut text, b"/a\" status=200\n\tb");
        assert_eq!(text, b"/a%22 status=200%0A%09b");
        assert_eq!(Optional(Some(3), "ms").to_string(), "3ms");
        assert_eq!(Optional(None::<u8>, "ms").to_string(), "");
    }
}
