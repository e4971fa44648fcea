//! Joins the API's door to the git hand: neither knows the other.

use async_trait::async_trait;
use axum::{body::Body, extract::Request, response::Response};
use renga_api::{GitCaller, GitHttp};
use renga_git::{Caller, Endpoint, GitStore};
use renga_model::Refusal;

pub(crate) struct GitFace(pub(crate) GitStore);

#[async_trait]
impl GitHttp for GitFace {
    async fn call(&self, caller: GitCaller, request: Request) -> Response {
        let Some((_, endpoint)) = Endpoint::parse(request.method(), request.uri()) else {
            return self.refuse(&Refusal::not_found("git_service"));
        };
        let caller = Caller { app: caller.app, name: caller.name, account: caller.account };
        self.0.serve(&caller, endpoint, request).await.map(Body::new)
    }

    fn refuse(&self, refusal: &Refusal) -> Response {
        renga_git::refusal_response(refusal).map(Body::new)
    }
}
