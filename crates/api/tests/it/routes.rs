//! The table of endpoints, walked: nobody gets past the gate, and the published API is covered without a gap.

use std::collections::BTreeSet;

use http::Method;
use renga_api::{EndpointRow, endpoint_rows, unoffered_links};
use renga_model::TokenScope;

use crate::harness::Platform;

/// A path of that row, with something in every segment that names something.
fn path_of(row: &EndpointRow, app: &str) -> String {
    let segment = |segment: &str| match segment {
        "{app}" => app.to_owned(),
        segment if segment.starts_with('{') => "none".into(),
        segment => segment.to_owned(),
    };
    row.path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

fn body_of(row: &EndpointRow) -> Option<&'static [u8]> {
    [Method::POST, Method::PUT, Method::PATCH].contains(&row.method).then_some(b"{}")
}

#[test]
fn no_endpoint_answers_without_a_valid_token() {
    let platform = Platform::start();
    platform.app("demo-app");
    let expired = platform.token_with(&platform.account, TokenScope::Global, Some(60));
    platform.clock.advance(jiff::SignedDuration::from_secs(61));
    let expired = format!("Bearer {expired}");
    let guarded: Vec<EndpointRow> = endpoint_rows().into_iter().filter(|row| !row.public).collect();
    assert!(guarded.len() > 80, "the walk has lost its table");
    for row in guarded {
        for authorization in ["", "Bearer undefined", "Bearer HRKU-wrong", "Basic Og==", "Nonsense", &expired]
        {
            let path = path_of(&row, "demo-app");
            let reply =
                platform.send(row.method.clone(), &path, &[("authorization", authorization)], body_of(&row));
            let (status, id, _) = reply.refusal();
            assert_eq!((status, id.as_str()), (401, "unauthorized"), "{} {path} {authorization}", row.method);
        }
    }
}

#[test]
fn nobody_reaches_the_app_of_somebody_else() {
    let platform = Platform::start();
    let app = platform.app("demo-app").to_string();
    let stranger = platform.stranger();
    let token = format!("Bearer {}", platform.token_with(&stranger, TokenScope::Global, None));
    for row in endpoint_rows().iter().filter(|row| row.on_app) {
        for identity in ["demo-app", &app] {
            let path = path_of(row, identity);
            let reply = platform.send(row.method.clone(), &path, &[("authorization", &token)], body_of(row));
            let (status, id, message) = reply.refusal();
            assert_eq!((status, id.as_str()), (404, "not_found"), "{} {path}", row.method);
            assert_eq!(
                (message.as_str(), &reply.json()["resource"]),
                ("Couldn't find that app.", &"app".into())
            );
        }
    }
    assert_eq!(platform.get("/apps/demo-app").good()["id"], app.as_str());
}

#[test]
fn every_path_with_an_app_names_a_permission() {
    for row in endpoint_rows() {
        assert_eq!(row.path.contains("{app}"), row.on_app, "{} {}", row.method, row.path);
    }
}

#[test]
fn a_scope_opens_no_more_than_it_says() {
    let platform = Platform::start();
    platform.app("demo-app");
    let tokens = TokenScope::ALL.map(|scope| (scope, platform.token_with(&platform.account, scope, None)));
    let refused = |scope: TokenScope, method: Method, path: &str| {
        let token = &tokens.iter().find(|(known, _)| *known == scope).unwrap().1;
        let bearer = format!("Bearer {token}");
        platform.send(method, path, &[("authorization", &bearer)], None).status == 403
    };
    use TokenScope::*;
    let cases = [
        (Method::GET, "/account", vec![Read, Write, ReadProtected, WriteProtected]),
        (Method::GET, "/apps", vec![Identity]),
        (Method::GET, "/apps/demo-app/config-vars", vec![Identity, Read, Write]),
        (Method::GET, "/apps/demo-app/releases", vec![Identity, Read, Write]),
        (Method::DELETE, "/apps/demo-app/dynos", vec![Identity, Read, ReadProtected]),
        (Method::GET, "/oauth/authorizations", vec![Identity, Read, Write, ReadProtected, WriteProtected]),
    ];
    for (method, path, expected) in cases {
        for scope in TokenScope::ALL {
            assert_eq!(
                refused(scope, method.clone(), path),
                expected.contains(&scope),
                "{method} {path} {scope:?}"
            );
        }
    }
}

#[test]
fn the_published_api_is_offered_or_listed_as_not_offered() {
    let pattern = |path: &str| {
        let segment = |s: &str| if s.starts_with('{') || s == "~" { "{}".to_owned() } else { s.to_owned() };
        path.split('/').map(segment).collect::<Vec<_>>().join("/")
    };
    let rows = endpoint_rows();
    let offered: BTreeSet<String> =
        rows.iter().map(|row| format!("{} {}", row.method, pattern(row.path))).collect();
    assert_eq!(offered.len(), rows.len(), "an endpoint stands in the table twice");
    let unoffered: BTreeSet<String> = unoffered_links().iter().map(|(m, p)| format!("{m} {p}")).collect();
    let published: BTreeSet<String> = include_str!("../data/endpoints.txt")
        .lines()
        .map(|line| line.split_once(' ').map(|(m, p)| format!("{m} {}", pattern(p))).unwrap())
        .collect();
    let missing: Vec<_> =
        published.iter().filter(|l| !offered.contains(*l) && !unoffered.contains(*l)).collect();
    assert!(missing.is_empty(), "neither offered nor listed: {missing:?}");
    let both: Vec<_> = offered.intersection(&unoffered).collect();
    assert!(both.is_empty(), "offered and listed as not offered: {both:?}");
    let invented: Vec<_> = unoffered.difference(&published).collect();
    assert!(invented.is_empty(), "listed as not offered, but not published: {invented:?}");
}

#[test]
fn what_is_not_offered_says_so_to_those_who_are_known() {
    let platform = Platform::start();
    for (method, path) in unoffered_links() {
        let method: Method = method.parse().unwrap();
        let path = path.replace("{}", "x");
        let (status, id, message) = platform.send(method.clone(), &path, &[], None).refusal();
        assert_eq!((status, id.as_str()), (404, "not_found"), "{method} {path}");
        assert!(message.contains("not offered yet"), "{method} {path}: {message}");
        let unknown = platform.send(method, &path, &[("authorization", "")], None);
        assert_eq!(unknown.status, 401);
    }
    let (status, id, message) = platform.get("/no/such/thing").refusal();
    assert_eq!((status, id.as_str()), (404, "not_found"));
    assert!(message.contains("endpoint was not found"));
}
