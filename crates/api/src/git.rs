//! Git over HTTP: who pushes or fetches is settled here, what that means in `git`, which the API knows as a trait.

use async_trait::async_trait;
use axum::{body::Body, extract::Request, response::Response};
use http::{Method, Uri, request::Parts};
use renga_engine::operations::Permission;
use renga_model::{AccountId, AppId, AppName, Refusal};

use crate::{ApiState, gate};

/// Who asks git, after the gate.
#[derive(Debug, Clone)]
pub struct GitCaller {
    pub app: AppId,
    pub name: AppName,
    pub account: AccountId,
}

/// The git crate's side; the binary joins the two.
#[async_trait]
pub trait GitHttp: Send + Sync + 'static {
    /// Answers a request whose path still begins with `/NAME.git/`.
    async fn call(&self, caller: GitCaller, request: Request) -> Response;
    /// A refusal in git's words; `Unauthorized` asks for credentials.
    fn refuse(&self, refusal: &Refusal) -> Response;
}

/// `NAME` of a path `/NAME.git/...`.
pub(crate) fn app_of(path: &str) -> Option<&str> {
    let (first, _) = path.strip_prefix('/')?.split_once('/')?;
    first.strip_suffix(".git").filter(|name| !name.is_empty())
}

pub(crate) async fn serve(state: &ApiState, name: &str, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    match admit(state, name, &parts).await {
        Ok(caller) => state.git.call(caller, Request::from_parts(parts, body)).await,
        Err(refusal) => state.git.refuse(&refusal),
    }
}

async fn admit(state: &ApiState, name: &str, request: &Parts) -> Result<GitCaller, Refusal> {
    let permission =
        if pushes(&request.method, &request.uri) { Permission::Deploy } else { Permission::View };
    let caller = gate::authenticate(state, &request.headers).await?;
    if !caller.may_use_git() {
        return Err(Refusal::forbidden("The scope of this OAuth authorization does not allow git."));
    }
    state.limiter.take(&caller, 1, state.engine.now())?;
    let app = state.engine.app_for(caller.account.id, name, permission).await?;
    // A crash between the app's row and its repository is mended here; where it stands, this does nothing.
    state.engine.git.repository_create(app.id).await.map_err(Refusal::internal)?;
    Ok(GitCaller { app: app.id, name: app.name, account: caller.account.id })
}

/// Whatever is not plainly a fetch needs the permission to push.
fn pushes(method: &Method, uri: &Uri) -> bool {
    let advertised = *method == Method::GET && uri.query() == Some("service=git-upload-pack");
    let fetched = *method == Method::POST && uri.path().ends_with("/git-upload-pack");
    !(advertised || fetched)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_fetch_goes_without_the_permission_to_push() {
        let pushes = |method: Method, uri: &str| pushes(&method, &uri.parse().unwrap());
        assert!(!pushes(Method::GET, "/a.git/info/refs?service=git-upload-pack"));
        assert!(!pushes(Method::POST, "/a.git/git-upload-pack"));
        for (method, uri) in [
            (Method::GET, "/a.git/info/refs?service=git-receive-pack"),
            (Method::GET, "/a.git/info/refs?service=git-upload-pack&service=git-receive-pack"),
            (Method::GET, "/a.git/info/refs"),
            (Method::POST, "/a.git/git-receive-pack"),
        ] {
            assert!(pushes(method, uri), "{uri}");
        }
        assert_eq!(app_of("/demo.git/info/refs"), Some("demo"));
        for path in ["/demo.git", "/.git/info/refs", "/demo/info/refs", "demo.git/x"] {
            assert_eq!(app_of(path), None, "{path}");
        }
    }
}
