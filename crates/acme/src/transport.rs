//! Requests to the authority: over TLS only, bounded in time and bytes, without redirects.

use std::{future::Future, io, pin::Pin};

use bytes::Bytes;
use http::{Request, Response};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use ureq::{
    Agent,
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
};

use crate::config::{ANSWER_BYTES_MAX, Config, REQUEST_TIMEOUT};

#[derive(Clone)]
pub(crate) struct Transport {
    agent: Agent,
}

impl Transport {
    pub(crate) fn new(config: &Config) -> io::Result<Self> {
        let proxy = config.proxy.as_deref().map(ureq::Proxy::new).transpose().map_err(io::Error::other)?;
        let roots = match &config.ca_pem {
            Some(pem) => RootCerts::from(certificates(pem)?),
            None => RootCerts::WebPki,
        };
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .https_only(true)
            .max_redirects(0)
            .proxy(proxy)
            .timeout_global(Some(REQUEST_TIMEOUT))
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .build();
        Ok(Self { agent: agent.into() })
    }
}

fn certificates(pem: &[u8]) -> io::Result<Vec<Certificate<'static>>> {
    let items: Result<Vec<_>, _> = parse_pem(pem).collect();
    let items = items.map_err(io::Error::other)?;
    let one = |item| if let PemItem::Certificate(certificate) = item { Some(certificate) } else { None };
    let found: Vec<_> = items.into_iter().filter_map(one).collect();
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "there is no certificate in it"));
    }
    Ok(found)
}

impl HttpClient for Transport {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let agent = self.agent.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            // Its body is one frame that is there already.
            let mut body = BytesResponse::from(Response::new(body)).body;
            let body = body.into_bytes().await.map_err(Error::Other)?;
            let asked = tokio::task::spawn_blocking(move || exchange(&agent, parts, &body)).await;
            asked.map_err(|panic| Error::Other(panic.into()))?.map_err(|failed| Error::Other(failed.into()))
        })
    }
}

fn exchange(agent: &Agent, parts: http::request::Parts, body: &[u8]) -> Result<BytesResponse, ureq::Error> {
    let answer = if body.is_empty() {
        agent.run(Request::from_parts(parts, ()))?
    } else {
        agent.run(Request::from_parts(parts, body))?
    };
    let (parts, mut body) = answer.into_parts();
    let bytes = body.with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
    Ok(BytesResponse { parts, body: Box::new(Bytes::from(bytes)) })
}
