//! From a client's head to a request of ours: whose it is, whether it may pass, and what the dyno gets to read.

use std::rc::Rc;

use rand::RngCore;
use renga_model::RouteFlags;

use crate::{
    affinity,
    answer::Page,
    buffer::Buffer,
    challenge,
    codes::{CAUSE_EXPECT, Code},
    exchange::{Door, Exchange, Told},
    forwarded::{Claimed, Way, told},
    head::{push_field, push_number, push_number_field, write_request},
    http::{
        Framing, Version,
        fields::{Known, known},
        request::{BadRequest, Facts, Head, host_name},
    },
    pages,
    thread::Thread,
};

/// A request id of the client's is kept if it has this length (Heroku).
const REQUEST_ID_BYTES: std::ops::RangeInclusive<usize> = 20..=200;
/// Digits and dashes of a UUID.
const UUID_BYTES: usize = 36;

/// A request that may go to a dyno.
pub(crate) struct Intake {
    pub(crate) exchange: Exchange,
    pub(crate) outgoing: Outgoing,
    /// The client's body, as it comes.
    pub(crate) framing: Framing,
    /// Whether the client's connection may carry another request.
    pub(crate) keep_alive: bool,
    pub(crate) version: Version,
    /// The client waits for `100 Continue` before it sends its body.
    pub(crate) expects_continue: bool,
}

/// What goes to the dyno.
pub(crate) struct Outgoing {
    /// The head, and behind it what there is of the body.
    pub(crate) bytes: Buffer,
    /// The head without what is only known when it is sent, see [`Outgoing::stamp`].
    head_bytes: usize,
    pub(crate) has_body: bool,
    /// The answer has no body, whatever it says.
    pub(crate) is_head: bool,
    /// Sending it twice does what sending it once does.
    pub(crate) may_repeat: bool,
    pub(crate) upgrade: bool,
    /// The dyno is asked for `100 Continue`, and the client told when it says so.
    pub(crate) continues: bool,
    /// The dyno's connection is for this request alone.
    pub(crate) close: bool,
}

/// A request that the router answers itself.
pub(crate) struct Denial {
    pub(crate) page: Page,
    /// The connection is of no more use: what follows on it is not known.
    pub(crate) close: bool,
    pub(crate) is_head: bool,
}

impl Denial {
    pub(crate) fn bad(why: BadRequest) -> Self {
        let status = match why {
            BadRequest::Version => 505,
            BadRequest::Malformed | BadRequest::TooLong | BadRequest::Method => 400,
        };
        Self { page: Page::html(status, pages::bad_request()), close: true, is_head: false }
    }
}

/// Judges a head and makes it ours.
pub(crate) fn take(thread: &Rc<Thread>, door: &Rc<Door>, head: &Head<'_>) -> Result<Intake, Denial> {
    let limits = &thread.shared.config.limits;
    let facts = head.facts(&limits.request()).map_err(Denial::bad)?;
    let authority = facts.host.unwrap_or_default();
    let host = host_name(authority).ok_or_else(|| Denial::bad(BadRequest::Malformed))?;
    let is_head = head.method == "HEAD";
    // Nothing is read of a body that nobody wants.
    let close =
        !keeps_connection(head, &facts) || !matches!(facts.framing, Framing::Empty | Framing::Length(0));
    let table = thread.table();
    if let Some(page) = challenge::answer(&table, &head.path) {
        return Err(Denial { page, close, is_head });
    }
    let Some(app) = table.find(&host) else {
        return Err(Denial { page: Page::html(404, pages::no_such_app()), close, is_head });
    };
    let mut id = [0; UUID_BYTES];
    let request_id = facts.request_id.filter(|id| may_stand(id)).unwrap_or_else(|| make_id(&mut id));
    let claims = Claims::read(head, &facts);
    let proxies = &thread.shared.config.trusted_proxies;
    let way = told(door.peer.as_bytes(), door.from_proxy, door.tls.is_some(), claims.as_claimed(), proxies);
    let told = Told::new(head, &host, request_id, &way.addresses);
    let mut exchange = Exchange::new(thread, door, told, table, app);
    if let Err(code) = admit(&mut exchange, &facts) {
        return Err(Denial { page: exchange.refuse(code), close, is_head });
    }
    let flags = exchange.app().map(|app| app.row.flags).unwrap_or_default();
    if flags.https_redirect && way.proto == "http" {
        let location = format!("https://{}{}", authority.strip_suffix(":80").unwrap_or(authority), head.path);
        return Err(Denial { page: exchange.redirect(location), close, is_head });
    }
    if flags.session_affinity {
        exchange.wanted = affinity::wanted(head.fields);
    }
    let mut outgoing = Outgoing::new(head, &facts, flags);
    outgoing.bytes.prepare(&thread.shelf);
    write_request(&mut outgoing.bytes, head, &facts, authority);
    write_options(&mut outgoing, &facts);
    push_field(&mut outgoing.bytes, b"X-Request-Id", request_id);
    write_ours(&mut outgoing.bytes, &exchange, &way, head.version);
    outgoing.head_bytes = outgoing.bytes.len();
    Ok(Intake {
        exchange,
        outgoing,
        keep_alive: keeps_connection(head, &facts),
        version: head.version,
        expects_continue: facts.expects_continue && !flags.end_to_end_continue,
        framing: facts.framing,
    })
}

/// What is refused before a dyno is looked for.
fn admit(exchange: &mut Exchange, facts: &Facts<'_>) -> Result<(), Code> {
    let in_flight_per_dyno = exchange.thread.shared.config.limits.in_flight_per_dyno;
    if facts.expects_other {
        return Err(Code::H26(CAUSE_EXPECT));
    }
    let app = exchange.app().ok_or(Code::H99)?;
    if app.maintenance {
        return Err(Code::H80);
    }
    // While none is up, requests wait as if for one.
    let dynos = u32::try_from(app.dynos.len().max(1)).unwrap_or(u32::MAX);
    exchange.enter_app(in_flight_per_dyno.saturating_mul(dynos))
}

fn keeps_connection(head: &Head<'_>, facts: &Facts<'_>) -> bool {
    match head.version {
        Version::Http10 => facts.options.keep_alive && !facts.options.close,
        Version::Http11 => !facts.options.close && !facts.doubtful,
        Version::Http2 => true,
    }
}

// === the head for the dyno ===

impl Outgoing {
    fn new(head: &Head<'_>, facts: &Facts<'_>, flags: RouteFlags) -> Self {
        let idempotent = matches!(head.method, "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE" | "TRACE");
        let has_body = !matches!(facts.framing, Framing::Empty | Framing::Length(0));
        Self {
            bytes: Buffer::default(),
            head_bytes: 0,
            has_body,
            is_head: head.method == "HEAD",
            may_repeat: idempotent && !has_body,
            continues: facts.expects_continue && flags.end_to_end_continue && head.version == Version::Http11,
            close: flags.no_keep_alive_to_dyno,
            upgrade: head.version == Version::Http11
                && facts.options.upgrade
                && facts.upgrade.is_some_and(may_upgrade),
        }
    }

    /// Ends the head with what could only be known now: how long it took to get here. May be done again, while nothing
    /// of a body is behind it.
    pub(crate) fn stamp(&mut self, exchange: &Exchange) {
        let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.bytes.rewind(self.head_bytes);
        push_number_field(&mut self.bytes, "Connect-Time", millis(exchange.connect.unwrap_or_default()));
        push_number_field(&mut self.bytes, "Total-Route-Time", millis(exchange.begun.elapsed()));
        self.bytes.push(b"\r\n");
    }
}

/// HTTP/2 in the clear is no protocol to change to: behind the change, requests would pass unseen.
fn may_upgrade(protocols: &[u8]) -> bool {
    !crate::http::fields::members(protocols).any(|protocol| {
        let name = protocol.split(|b| *b == b'/').next().unwrap_or_default();
        name.eq_ignore_ascii_case(b"h2c") || name.eq_ignore_ascii_case(b"http")
    })
}

/// What is said of the one connection to the dyno.
fn write_options(outgoing: &mut Outgoing, facts: &Facts<'_>) {
    let out = &mut outgoing.bytes;
    if outgoing.upgrade {
        out.push(b"Connection: upgrade\r\n");
        push_field(out, b"Upgrade", facts.upgrade.unwrap_or_default());
    } else if outgoing.close {
        out.push(b"Connection: close\r\n");
    }
    if outgoing.continues {
        out.push(b"Expect: 100-continue\r\n");
    }
}

fn write_ours(out: &mut Buffer, exchange: &Exchange, way: &Way<'_>, version: Version) {
    push_field(out, b"X-Forwarded-For", &way.addresses);
    push_field(out, b"X-Forwarded-Proto", way.proto.as_bytes());
    push_field(out, b"X-Forwarded-Port", way.port);
    out.push(b"X-Request-Start: ");
    push_number(out, u64::try_from(exchange.begun_at.as_millisecond()).unwrap_or_default());
    out.push(b"\r\nVia: ");
    out.push(version.number().as_bytes());
    out.push(b" renga-router\r\n");
}

/// What the request says of its way so far, each name's values as one list.
#[derive(Default)]
struct Claims {
    addresses: Option<Vec<u8>>,
    proto: Option<Vec<u8>>,
    port: Option<Vec<u8>>,
}

impl Claims {
    fn read(head: &Head<'_>, facts: &Facts<'_>) -> Self {
        let mut claims = Self::default();
        if !facts.is_forwarded {
            return claims;
        }
        for field in head.fields {
            let claim = match known(field.name.as_bytes()) {
                Known::ForwardedFor => &mut claims.addresses,
                Known::ForwardedProto => &mut claims.proto,
                Known::ForwardedPort => &mut claims.port,
                _ => continue,
            };
            match claim {
                Some(values) => {
                    values.extend_from_slice(b", ");
                    values.extend_from_slice(field.value);
                }
                None => *claim = Some(field.value.to_vec()),
            }
        }
        claims
    }

    fn as_claimed(&self) -> Claimed<'_> {
        Claimed {
            addresses: self.addresses.as_deref(),
            proto: self.proto.as_deref(),
            port: self.port.as_deref(),
        }
    }
}

// === request ids ===

fn may_stand(id: &[u8]) -> bool {
    let legal = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'-');
    REQUEST_ID_BYTES.contains(&id.len()) && id.iter().all(legal)
}

fn make_id(text: &mut [u8; UUID_BYTES]) -> &[u8] {
    let mut bytes = [0; 16];
    rand::rng().fill_bytes(&mut bytes);
    let id = uuid::Builder::from_random_bytes(bytes).into_uuid();
    id.hyphenated().encode_lower(text).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_clients_stand_only_within_the_rule() {
        assert!(may_stand(b"abcdefghij0123456789+/=-"));
        for bad in ["short", "abcdefghij 0123456789", "abcdefghij0123456789\"", &"a".repeat(201)] {
            assert!(!may_stand(bad.as_bytes()), "{bad}");
        }
        let (mut one, mut two) = ([0; UUID_BYTES], [0; UUID_BYTES]);
        assert_ne!(make_id(&mut one), make_id(&mut two));
        assert!(std::str::from_utf8(&one).unwrap().parse::<uuid::Uuid>().is_ok());
    }

    #[test]
    fn only_protocols_that_are_not_http_may_be_changed_to() {
        assert!(may_upgrade(b"websocket") && may_upgrade(b"foo/2, bar"));
        for bad in ["h2c", "websocket, H2C", "HTTP/2.0", "http/1.1"] {
            assert!(!may_upgrade(bad.as_bytes()), "{bad}");
        }
    }
}
