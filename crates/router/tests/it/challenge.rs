//! What a certificate authority finds.

use renga_model::{RouteTable, WebState};
use renga_ports::RouteFeed;

use crate::rig::{Backend, Rig, app, dyno};

const PATH: &str = "/.well-known/acme-challenge/";

async fn ask(rig: &Rig, host: &str, path: &str) -> (u16, String) {
    let reply = rig.ask(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
    (reply.status, reply.body)
}

#[tokio::test]
async fn a_token_of_the_table_is_answered_on_every_host_and_any_other_is_the_apps() {
    let rig = Rig::start().await;
    let backend = Backend::mirror().await;
    let mut app = app(WebState::Up, vec![dyno(1, backend.address)]);
    app.maintenance = true;
    let challenges = [("a-token".to_owned(), "a-token.thumbprint".to_owned())].into();
    let table = RouteTable { generation: 1, apps: vec![app.clone()], challenges };
    rig.feed.publish(&table).await.unwrap();
    let found = (200, "a-token.thumbprint".to_owned());
    for host in ["app.localhost", "app.localhost:80", "api.example.com"] {
        assert_eq!(ask(&rig, host, &format!("{PATH}a-token")).await, found, "{host}");
        assert_eq!(ask(&rig, host, &format!("{PATH}a-token?again")).await, found, "{host}");
    }
    app.maintenance = false;
    let table = RouteTable { generation: 2, apps: vec![app], challenges: table.challenges };
    rig.feed.publish(&table).await.unwrap();
    for path in
        [format!("{PATH}another"), PATH.to_owned(), format!("{PATH}a-token/x"), format!("/x{PATH}a-token")]
    {
        let (status, body) = ask(&rig, "app.localhost", &path).await;
        assert!(status == 200 && body.starts_with(&format!("GET {path} HTTP/1.1")), "{path}: {body}");
        assert_eq!(ask(&rig, "api.example.com", &path).await.0, 404);
    }
    let gone = RouteTable { generation: 3, challenges: Default::default(), ..table };
    rig.feed.publish(&gone).await.unwrap();
    assert_ne!(ask(&rig, "app.localhost", &format!("{PATH}a-token")).await, found);
}
