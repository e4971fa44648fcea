//! Smart HTTP over the system's `upload-pack` and `receive-pack`.

use std::{process::Stdio, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use renga_model::{AccountId, AppId, AppName, Refusal};
use renga_ports::{Git, GitError};
use tokio::{process::Command, sync::Semaphore, time::sleep};

use crate::{
    Endpoint, GitStore, Service,
    command::{GitProcess, Run},
    error::{plain, refusal_response},
    hook::{SOCKET_VARIABLE, TOKEN_VARIABLE},
    input::{self, InputLimits},
    output::{Body, Running},
    packet,
    push::Pusher,
};

/// Refs of one repository, as they are advertised.
const ADVERTISEMENT_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Commands and signatures of a push come before its pack.
const PUSH_OVERHEAD_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Who asks, after the caller has authenticated him and found the app.
#[derive(Debug, Clone)]
pub struct Caller {
    pub app: AppId,
    pub name: AppName,
    pub account: AccountId,
}

impl GitStore {
    /// Answers one request of a git client; `endpoint` comes from [`Endpoint::parse`]. The response's body runs the
    /// process: who drops it ends the transfer (but not the gate call of a push).
    pub async fn serve<B>(&self, caller: &Caller, endpoint: Endpoint, request: Request<B>) -> Response<Body>
    where
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: std::fmt::Display,
    {
        let answer = match endpoint {
            Endpoint::Advertise(service) => self.advertise(caller, service, request.headers()).await,
            Endpoint::Call(service) => self.call(caller, service, request).await,
        };
        answer.unwrap_or_else(|refused| match refused {
            Refused::Plain(status, text) => plain(status, text),
            Refused::Told(refusal) => refusal_response(&refusal),
            Refused::Failed(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::error!(error = %error, cause, app.name = %caller.name, "could not serve a git request");
                plain(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error. The operator's log has the cause.")
            }
        })
    }

    async fn advertise(
        &self,
        caller: &Caller,
        service: Service,
        headers: &HeaderMap,
    ) -> Result<Response<Body>, Refused> {
        self.check_room(service)?;
        self.repository_create(caller.app).await?;
        let version = protocol_version(service, headers);
        let mut command = self.service_command(service, version);
        command.args(["--stateless-rpc", "--advertise-refs"]).arg(self.repository(caller.app));
        let run = Run { output_bytes_max: ADVERTISEMENT_BYTES_MAX, ..self.run(service.as_str(), b"") };
        let refs = run.output(command).await?;
        let mut body = Vec::with_capacity(refs.len() + 64);
        if version != Some(2) {
            packet::push_data(&mut body, format!("# service=git-{}\n", service.as_str()).as_bytes());
            packet::push_flush(&mut body);
        }
        body.extend_from_slice(&refs);
        Ok(response(service, "advertisement", Body::full(body.into())))
    }

    async fn call<B>(
        &self,
        caller: &Caller,
        service: Service,
        request: Request<B>,
    ) -> Result<Response<Body>, Refused>
    where
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: std::fmt::Display,
    {
        let gzip = check_headers(service, request.headers())?;
        self.check_room(service)?;
        self.repository_create(caller.app).await?;
        let limits = *self.limits();
        let (permits, time_max, bytes_max) = match service {
            Service::UploadPack => {
                (self.fetch_permits(), limits.fetch_time_max, limits.fetch_request_bytes_max)
            }
            Service::ReceivePack => {
                (self.push_permits(), limits.push_time_max, limits.pack_bytes_max + PUSH_OVERHEAD_BYTES_MAX)
            }
        };
        let permit = Arc::<Semaphore>::clone(permits).try_acquire_owned().map_err(|_| {
            Refused::Plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many git transfers at once. Try again in a moment.",
            )
        })?;

        let mut command = self.service_command(service, protocol_version(service, request.headers()));
        command.arg("--stateless-rpc").arg(self.repository(caller.app));
        let token = (service == Service::ReceivePack)
            .then(|| self.pushes().admit(Pusher { app: caller.app, account: caller.account }));
        if let Some(token) = &token {
            command.env(SOCKET_VARIABLE, &self.config().hook_socket).env(TOKEN_VARIABLE, &token.text);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let operation = service.as_str();
        let io = |cause| GitError::Io { operation, cause };
        let mut process = GitProcess::spawn(command, self.tasks()).map_err(io)?;
        let (Some(stdin), Some(stdout)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(io(std::io::Error::other("a pipe of the process is missing")).into());
        };
        let input_limits = InputLimits { bytes_max, stall_time_max: limits.stall_time_max };
        let pump = input::pump(request.into_body(), stdin, gzip, input_limits);
        let input = self.tasks().spawn(async move {
            if let Err(error) = pump.await {
                tracing::info!(error = %error, "the request of a git {operation} was cut");
            }
        });
        let running = Running {
            operation,
            process: Some((process, Running::chunks(stdout))),
            deadline: Box::pin(sleep(time_max)),
            input: input.abort_handle(),
            _token: token,
            _permit: permit,
        };
        Ok(response(service, "result", Body::process(running)))
    }

    /// A push must not fill the disk that the ledger is on.
    fn check_room(&self, service: Service) -> Result<(), Refused> {
        if service == Service::UploadPack {
            return Ok(());
        }
        let disk = rustix::fs::statvfs(&self.config().root)
            .map_err(|error| GitError::Io { operation: "statvfs", cause: error.into() })?;
        let (free, floor) = (disk.f_bavail.saturating_mul(disk.f_frsize), self.config().disk_floor_bytes);
        if free >= floor {
            return Ok(());
        }
        Err(Refused::Told(Refusal::disk_low(free, floor)))
    }

    fn service_command(&self, service: Service, version: Option<u8>) -> Command {
        let mut command = self.program().command();
        if let Some(version) = version {
            command.env("GIT_PROTOCOL", format!("version={version}"));
        }
        command.arg(service.as_str());
        command
    }
}

enum Refused {
    Plain(StatusCode, &'static str),
    Told(Refusal),
    Failed(GitError),
}

impl From<GitError> for Refused {
    fn from(error: GitError) -> Self {
        Self::Failed(error)
    }
}

/// Whether the body is compressed.
fn check_headers(service: Service, headers: &HeaderMap) -> Result<bool, Refused> {
    let wanted = format!("application/x-git-{}-request", service.as_str());
    let given = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    // Also keeps browsers out: a form of another site cannot send this type.
    if given != Some(wanted.as_bytes()) {
        return Err(Refused::Plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "This address is for git clients."));
    }
    match headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity") => Ok(false),
        Some(b"gzip" | b"x-gzip") => Ok(true),
        Some(_) => Err(Refused::Plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Only gzip is understood.")),
    }
}

/// The `Git-Protocol` header is a list of keys of which we pass on what we know. A push has no version 2.
fn protocol_version(service: Service, headers: &HeaderMap) -> Option<u8> {
    let text = headers.get("git-protocol")?.to_str().ok()?;
    let highest = text.split(':').filter_map(|key| key.strip_prefix("version=")?.parse().ok()).max()?;
    match (service, highest) {
        (Service::UploadPack, 2) => Some(2),
        (_, 1) => Some(1),
        _ => None,
    }
}

fn response(service: Service, kind: &str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    let content_type = format!("application/x-git-{}-{kind}", service.as_str());
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_str(&content_type).expect("letters, dashes and a slash are legal in a header"),
    );
    headers.insert(header::EXPIRES, HeaderValue::from_static("Fri, 01 Jan 1980 00:00:00 GMT"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, max-age=0, must-revalidate"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_protocol_versions_are_passed_on() {
        let version = |service, text: &str| {
            let headers = HeaderMap::from_iter([("git-protocol".parse().unwrap(), text.parse().unwrap())]);
            protocol_version(service, &headers)
        };
        assert_eq!(version(Service::UploadPack, "version=2"), Some(2));
        assert_eq!(version(Service::UploadPack, "x:version=1:version=2"), Some(2));
        assert_eq!(version(Service::ReceivePack, "version=2"), None);
        assert_eq!(version(Service::UploadPack, "version=2;rm"), None);
        assert_eq!(version(Service::UploadPack, "version=9"), None);
    }
}
