//! The forwarder: one connection there for each one here, and one request on each, so that heads need no more
//! understanding than [`head`] has.

use std::{
    io,
    net::TcpStream,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::ClientConfig;

use super::{
    answer::{self, Refusal},
    head,
    pipe::{self, End, Kind},
};
use crate::tls;

/// From the connection to a complete head; the same again for a handshake.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    /// As the `Host` header has it.
    pub(super) authority: String,
    pub(super) config: Arc<ClientConfig>,
}

/// One client in the clear.
pub(super) fn forward(client: TcpStream, target: &Target) -> io::Result<()> {
    client.set_nodelay(true)?;
    client.set_write_timeout(Some(HEAD_TIMEOUT))?;
    request(End::plain(client), Vec::new(), target, None)
}

/// One request of a client whose handshake, if any, is done. `said` is what it has said already; of tokens only `token`
/// is passed on, where it is given.
pub(super) fn request(
    mut client: End,
    said: Vec<u8>,
    target: &Target,
    token: Option<&str>,
) -> io::Result<()> {
    let deadline = Instant::now() + HEAD_TIMEOUT;
    let (head, body) = match head::read(&mut client, said, head::REQUEST_BYTES_MAX, deadline) {
        Ok(read) => read,
        Err(why) => return Refusal::unread(&why).map_or(Ok(()), |refusal| refusal.tell_api(client)),
    };
    let Some(mut head) = head::rewritten(&head, &target.authority, token) else {
        let text = format!(
            "This request carried another token than that of {}, so it was not passed on. `renga connect` prints the \
             right one as HEROKU_API_KEY.",
            target.authority
        );
        return Refusal::new(answer::UNAUTHORIZED, text).tell_api(client);
    };
    let (remote, tls) = match tls::connect(&target.host, target.port, &target.config) {
        Ok(connected) => connected,
        Err(failed) => {
            let text = format!("renga connect can't reach {}: {failed}", target.authority);
            return Refusal::new(answer::UNAVAILABLE, text).tell_api(client);
        }
    };
    head.extend(body);
    pipe::pump(client, End::tls(remote, tls), Kind::Request, [head, Vec::new()])
}
