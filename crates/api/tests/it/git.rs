//! Git's door: credentials are asked for, the token is the password, permissions hold.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Method;
use renga_model::TokenScope;

use crate::harness::Platform;

#[test]
fn git_requests_pass_the_gate_and_reach_git() {
    let platform = Platform::start();
    let app = platform.app("demo-app");
    assert!(platform.git.has(app));
    let push = "/demo-app.git/info/refs?service=git-receive-pack";
    let as_user = |pair: String| {
        let basic = format!("Basic {}", STANDARD.encode(pair));
        platform.send(Method::GET, push, &[("authorization", &basic), ("accept", "*/*")], None)
    };
    assert_eq!(platform.send(Method::GET, push, &[("authorization", "")], None).status, 401);
    assert_eq!(as_user("heroku:wrong".into()).status, 401);
    for user in ["heroku", "dev@example.com", ""] {
        let reply = as_user(format!("{user}:{}", platform.token));
        assert_eq!(reply.text, format!("demo-app GET {push}"));
    }
    let read = platform.token_with(&platform.account, TokenScope::Read, None);
    assert_eq!(as_user(format!("x:{read}")).status, 403);
    let stranger = platform.token_with(&platform.stranger(), TokenScope::Global, None);
    assert_eq!(as_user(format!("x:{stranger}")).status, 404);
    let none = platform.get("/no-such-app.git/info/refs?service=git-upload-pack");
    assert_eq!(none.status, 404);
}
