//! The Platform API as a caller sees it: requests with our token, answers as the shapes of `wire`, refusals as
//! [`Failure`]. Blocking, one connection, nothing retried: what failed is told.

use std::{cell::RefCell, io, path::Path, time::Duration};

use renga_model::Secret;
use renga_wire::ErrorBody;
use serde::{Serialize, de::DeserializeOwned};
use ureq::{
    Agent, Body,
    http::{Method, Request, Response, StatusCode, header},
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
};

use crate::{Environment, errors::Failure, platform::Place};

const TWO_FACTOR_CODE: &str = "heroku-two-factor-code";
const ACCEPT: &str = "application/vnd.heroku+json; version=3";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// From the request to the head of its answer: some operations wait for the ledger.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of one answer.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Pages of one list; the end of a list that never ends.
const PAGES_MAX: usize = 1_000;
/// Bytes shown of an answer that is not understood.
const EXCERPT_CHARS: usize = 300;

pub(crate) struct Client {
    agent: Agent,
    api: String,
    token: Option<Secret>,
    /// What the platform said beside its answers (`Warning-Message`), until somebody shows it.
    warnings: RefCell<Vec<String>>,
}

impl Client {
    pub(crate) fn new(place: &Place, env: &Environment) -> Result<Self, Failure> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(concat!("renga/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(ANSWER_TIMEOUT))
            .proxy(proxy(&place.api, env));
        // Its links (logs, outputs) go over TLS even where the API is reached in the clear, by a forwarder.
        let trusted = match place.ca.as_ref().map(|ca| certificates(ca)) {
            Some(Err(failure)) if place.api.starts_with("https:") => return Err(failure),
            Some(Ok(certificates)) => Some(RootCerts::from(certificates)),
            _ => None,
        };
        if let Some(trusted) = trusted {
            config = config.tls_config(TlsConfig::builder().root_certs(trusted).build());
        }
        let (agent, api, token) = (config.build().into(), place.api.clone(), place.token.clone());
        Ok(Self { agent, api, token, warnings: RefCell::default() })
    }

    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.json(Method::GET, path, None::<&()>)
    }

    pub(crate) fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        self.json(Method::POST, path, Some(body))
    }

    pub(crate) fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        self.json(Method::PUT, path, Some(body))
    }

    pub(crate) fn patch<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        self.json(Method::PATCH, path, Some(body))
    }

    pub(crate) fn take_warnings(&self) -> Vec<String> {
        self.warnings.take()
    }

    /// Any request, for those who know the shape of its answer.
    pub(crate) fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<serde_json::Value, Failure> {
        self.json(method, path, body)
    }

    /// For actions whose answer says nothing.
    pub(crate) fn act(&self, method: Method, path: &str) -> Result<(), Failure> {
        self.json::<serde_json::Value>(method, path, None::<&()>).map(drop)
    }

    /// One page of a list, sorted and cut by the server.
    pub(crate) fn page<T: DeserializeOwned>(&self, path: &str, range: &str) -> Result<Vec<T>, Failure> {
        let request = self.request(Method::GET, path)?.header(header::RANGE, range);
        self.read(Method::GET, path, self.send(request, Vec::new())?)
    }

    /// A whole list, page by page.
    pub(crate) fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, Failure> {
        let mut items = Vec::new();
        let mut range: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut request = self.request(Method::GET, path)?;
            if let Some(range) = &range {
                request = request.header(header::RANGE, range);
            }
            let response = self.send(request, Vec::new())?;
            let next = response.headers().get("next-range").and_then(|next| next.to_str().ok());
            range = next.map(str::to_owned);
            items.extend(self.read::<Vec<T>>(Method::GET, path, response)?);
            if range.is_none() {
                break;
            }
        }
        Ok(items)
    }

    /// As [`Client::post`], with the code of a second factor.
    pub(crate) fn post_with_code<T: DeserializeOwned>(
        &self,
        path: &str,
        code: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let request = self.request(Method::POST, path)?.header(TWO_FACTOR_CODE, code);
        let body = serde_json::to_vec(body).expect("shapes of the API are JSON");
        let sent = self.send(request.header(header::CONTENT_TYPE, "application/json"), body)?;
        self.read(Method::POST, path, sent)
    }

    /// E-mail and password instead of the token, and the code of a second factor.
    pub(crate) fn post_as<T: DeserializeOwned>(
        &self,
        path: &str,
        authorization: &str,
        code: Option<&str>,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let request = Request::builder().method(Method::POST).uri(format!("{}{path}", self.api));
        let mut request = request.header(header::ACCEPT, ACCEPT).header(header::AUTHORIZATION, authorization);
        if let Some(code) = code {
            request = request.header(TWO_FACTOR_CODE, code);
        }
        let body = serde_json::to_vec(body).expect("shapes of the API are JSON");
        self.read(
            Method::POST,
            path,
            self.send(request.header(header::CONTENT_TYPE, "application/json"), body)?,
        )
    }

    /// A URL that is its own key: no token goes there. The caller reads the body as it comes.
    /// `silence_max` is for streams that are never silent for long: whoever is, has gone.
    pub(crate) fn open(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        silence_max: Option<Duration>,
    ) -> Result<Response<Body>, Failure> {
        let mut request =
            Request::builder().method(Method::GET).uri(url).header(header::USER_AGENT, "heroku-run");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let unreachable = |cause: String| Failure::Unreachable { api: self.api.clone(), cause };
        let request = request.body(()).map_err(|wrong| unreachable(wrong.to_string()))?;
        let request = self.agent.configure_request(request).timeout_per_read(silence_max).build();
        self.agent.run(request).map_err(|failed| unreachable(plain(&failed)))
    }

    fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, Failure> {
        let mut request = self.request(method.clone(), path)?;
        let mut bytes = Vec::new();
        if let Some(body) = body {
            request = request.header(header::CONTENT_TYPE, "application/json");
            bytes = serde_json::to_vec(body).expect("shapes of the API are JSON");
        }
        self.read(method, path, self.send(request, bytes)?)
    }

    fn request(&self, method: Method, path: &str) -> Result<ureq::http::request::Builder, Failure> {
        let token = self.token.as_ref().ok_or_else(|| Failure::NoToken { api: self.api.clone() })?;
        let request = Request::builder().method(method).uri(format!("{}{path}", self.api));
        let bearer = format!("Bearer {}", token.expose());
        Ok(request.header(header::ACCEPT, ACCEPT).header(header::AUTHORIZATION, bearer))
    }

    fn send(&self, request: ureq::http::request::Builder, body: Vec<u8>) -> Result<Response<Body>, Failure> {
        let unreachable = |cause: String| Failure::Unreachable { api: self.api.clone(), cause };
        let bodiless = body.is_empty();
        let request = request.body(body).map_err(|wrong| unreachable(wrong.to_string()))?;
        let bodiless = bodiless && matches!(*request.method(), Method::GET | Method::DELETE);
        let sent = if bodiless { self.agent.run(request.map(drop)) } else { self.agent.run(request) };
        sent.map_err(|failed| unreachable(plain(&failed)))
    }

    fn read<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        response: Response<Body>,
    ) -> Result<T, Failure> {
        let status = response.status();
        let warning = response.headers().get("warning-message").and_then(|text| text.to_str().ok());
        self.warnings.borrow_mut().extend(warning.map(str::to_owned));
        let body = response.into_body().into_with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let body = body.map_err(|cut| Failure::Unreachable { api: self.api.clone(), cause: plain(&cut) })?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|_| garbled(&method, path, status, &body));
        }
        match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(body) => Err(Failure::Refused { status: status.as_u16(), body }),
            Err(_) => Err(garbled(&method, path, status, &body)),
        }
    }
}

/// One part of a path, as what a user typed may be anything.
pub(crate) fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte))
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

/// The certificates of a PEM file.
fn certificates(ca: &Path) -> Result<Vec<Certificate<'static>>, Failure> {
    let doing = || format!("read the platform's CA from {}", ca.display());
    let pem = std::fs::read(ca).map_err(|cause| Failure::Local { doing: doing(), cause })?;
    let certificates = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let certificates: Vec<_> = certificates.collect();
    if certificates.is_empty() {
        return Err(Failure::Local { doing: doing(), cause: io::Error::other("it holds no certificate") });
    }
    Ok(certificates)
}

/// This machine is never asked for through a proxy.
fn proxy(api: &str, env: &Environment) -> Option<ureq::Proxy> {
    let host = crate::platform::authority(api).rsplit_once(':').map_or(api, |(host, _)| host);
    if matches!(host, "localhost" | "127.0.0.1" | "[::1]") {
        return None;
    }
    let named =
        ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"].into_iter().find_map(|name| env.get(name));
    named.and_then(|url| ureq::Proxy::new(url).ok())
}

/// The cause without the library's prefix.
fn plain(failed: &ureq::Error) -> String {
    match failed {
        ureq::Error::Io(cause) => cause.to_string(),
        other => other.to_string(),
    }
}

fn garbled(method: &Method, path: &str, status: StatusCode, body: &[u8]) -> Failure {
    let text = String::from_utf8_lossy(body);
    let excerpt = text.chars().filter(|c| !c.is_control()).take(EXCERPT_CHARS).collect();
    Failure::Garbled { method: method.to_string(), path: path.to_owned(), status: status.as_u16(), excerpt }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_stays_one_part_of_the_path() {
        assert_eq!(segment("times-1.a_b~"), "times-1.a_b~");
        assert_eq!(segment("a/../b?x=é"), "a%2F..%2Fb%3Fx%3D%C3%A9");
    }

    #[test]
    fn loopback_is_never_proxied() {
        let env = Environment::from([("HTTP_PROXY", "http://proxy:3128")]);
        assert!(proxy("http://localhost:4000", &env).is_none());
        assert!(proxy("https://paas.example", &env).is_some());
        assert!(proxy("https://paas.example", &Environment::default()).is_none());
    }
}
