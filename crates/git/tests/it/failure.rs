//! Clients, processes and connections that die, and requests that go too far.

use std::path::Path;

use bytes::Bytes;
use renga_ports::{Git, RefVerdict};

use crate::world::{Client, World, accepted, kill, processes, stderr, until};

#[tokio::test]
async fn a_killed_client_does_not_stop_the_deploy() {
    let world = World::new().await;
    let client = world.client("client").await;
    let push = client.start(&["push", "heroku", "main"]);
    let call = world.call().await;
    kill(push).await;
    // The gate learns that nobody listens, and goes on.
    until("the gate sees that the pusher has gone", || async { call.progress.is_closed() }).await;
    world.accept(call).await;
    until("staging is over", || async { world.refs().await.len() == 1 }).await;
    assert_eq!(world.refs().await["refs/heads/main"], client.head().await);
    nothing_runs(&world.repository()).await;
    let output = client.git(&["push", "heroku", "main"]).await;
    assert!(stderr(&output).contains("Everything up-to-date"), "{}", stderr(&output));
}

#[tokio::test]
async fn a_killed_receive_pack_does_not_stop_the_deploy() {
    let world = World::new().await;
    let client = world.client("client").await;
    let push = client.start(&["push", "heroku", "main"]);
    let call = world.call().await;
    let is_receive_pack = |(_, arguments): &&(i32, String)| arguments.contains("receive-pack");
    let running = processes(&world.repository());
    let (id, _) = running.iter().find(is_receive_pack).expect("receive-pack waits for the gate");
    let id = rustix::process::Pid::from_raw(*id).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::KILL).unwrap();
    let output = push.wait_with_output().await.unwrap();
    assert!(!output.status.success());
    until("the gate sees that the pusher has gone", || async { call.progress.is_closed() }).await;
    // The hook does not outlive receive-pack, although the gate still works.
    nothing_runs(&world.directory.path().join("hook.sock")).await;
    world.accept(call).await;
    until("staging is over", || async { world.refs().await.len() == 1 }).await;
    assert_eq!(world.refs().await["refs/heads/main"], client.head().await);
}

#[tokio::test]
async fn a_client_that_dies_in_the_pack_leaves_nothing() {
    let world = World::new().await;
    world.client("client").await;
    renga_ports::Git::repository_create(&world.store, world.app).await.unwrap();
    let mut socket = tokio::net::TcpStream::connect(world.address).await.unwrap();
    let update =
        format!("{} {} refs/heads/main\0 report-status side-band-64k", "0".repeat(40), "a".repeat(40));
    let body = format!("{:04x}{update}0000PACK\0\0\0\x02\0\0\0\x09", update.len() + 4);
    let head = format!(
        "POST /demo.git/git-receive-pack HTTP/1.1\r\nhost: x\r\nauthorization: Basic YW55OnNlY3JldA==\r\n\
         content-type: application/x-git-receive-pack-request\r\ncontent-length: 1000000\r\n\r\n{body}"
    );
    tokio::io::AsyncWriteExt::write_all(&mut socket, head.as_bytes()).await.unwrap();
    until("receive-pack runs", || async { !processes(&world.repository()).is_empty() }).await;
    drop(socket);
    nothing_runs(&world.repository()).await;
    let objects = std::fs::read_dir(world.repository().join("objects")).unwrap();
    let names: Vec<_> = objects.map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().contains("incoming")), "{names:?}");
    assert!(world.no_call());
}

#[tokio::test]
async fn without_credentials_git_is_asked_for_them() {
    let world = World::new().await;
    let client = world.client("client").await;
    let output = client.git(&["push", &format!("http://{}/demo.git", world.address), "main"]).await;
    assert!(stderr(&output).contains("could not read Username"), "{}", stderr(&output));
    let output = client.git(&["push", &format!("http://any:wrong@{}/demo.git", world.address), "main"]).await;
    assert!(stderr(&output).contains("Authentication failed"), "{}", stderr(&output));
    let output =
        client.git(&["push", &format!("http://any:secret@{}/other.git", world.address), "main"]).await;
    assert!(stderr(&output).contains("not found"), "{}", stderr(&output));
    assert!(world.no_call());
}

#[tokio::test]
async fn a_pack_beyond_the_limit_is_refused() {
    let world = World::with(|config| config.limits.pack_bytes_max = 20_000).await;
    let client = world.client("client").await;
    let lines: String = (0..40_000_u32).map(|n| format!("{:x}\n", n.wrapping_mul(2_654_435_761))).collect();
    client.commit("big", lines, "Big").await;
    let output = client.git(&["push", "heroku", "main"]).await;
    assert!(stderr(&output).contains("exceeds maximum allowed size"), "{}", stderr(&output));
    assert!(world.no_call());
    assert!(world.refs().await.is_empty());
}

#[tokio::test]
async fn only_so_many_pushes_at_once() {
    let world = World::with(|config| config.limits.pushes_max = 1).await;
    let client = world.client("client").await;
    let first = client.start(&["push", "heroku", "main"]);
    let call = world.call().await;
    let output = client.git(&["push", "heroku", "main:second"]).await;
    assert!(stderr(&output).contains("503"), "{}", stderr(&output));
    world.accept(call).await;
    assert!(first.wait_with_output().await.unwrap().status.success());
}

#[tokio::test]
async fn hidden_refs_can_neither_be_seen_nor_pushed() {
    let world = World::new().await;
    let client = world.client("client").await;
    let push = client.start(&["push", "heroku", "main"]);
    let call = world.call().await;
    let listed = client.ok(&["ls-remote", "heroku"]).await;
    assert_eq!(listed, "");
    let output = client.git(&["push", "heroku", "main:refs/renga/staging/x"]).await;
    assert!(stderr(&output).contains("deny updating a hidden ref"), "{}", stderr(&output));
    world.accept(call).await;
    assert!(push.wait_with_output().await.unwrap().status.success());
}

#[tokio::test]
async fn a_stranger_on_the_hook_socket_gets_nothing() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let world = World::new().await;
    for greeting in ["0009token0000", "0000", "zzzz", "", "000atoken\n0000"] {
        let path = world.directory.path().join("hook.sock");
        let mut socket = tokio::net::UnixStream::connect(path).await.unwrap();
        socket.write_all(greeting.as_bytes()).await.unwrap();
        socket.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // A reset is an answer too: the server closed without reading on.
        socket.read_to_end(&mut answer).await.ok();
        assert!(answer.is_empty(), "{greeting}: {answer:?}");
    }
    assert!(world.no_call());
}

#[tokio::test]
async fn two_pushes_of_one_commit_share_its_staging_ref() {
    let world = World::new().await;
    let client = world.client("client").await;
    let commit = client.head().await;
    let staging = format!("refs/renga/staging/{commit}");
    let first = client.start(&["push", "heroku", "main"]);
    let first_call = world.call().await;
    let second = client.start(&["push", "heroku", "main:master"]);
    let second_call = world.call().await;
    let no = |name: &str| vec![RefVerdict { name: name.into(), refused: Some("no".into()) }];
    second_call.progress.send(Bytes::from("one moment\n")).await.unwrap();
    drop(second_call.progress);
    second_call.answer.send(no("refs/heads/master")).unwrap();
    assert!(!second.wait_with_output().await.unwrap().status.success());
    assert!(world.refs().await.contains_key(&staging));
    drop(first_call.progress);
    first_call.answer.send(no("refs/heads/main")).unwrap();
    assert!(!first.wait_with_output().await.unwrap().status.success());
    assert!(world.refs().await.is_empty());
}

#[tokio::test]
async fn the_hook_says_so_when_the_server_is_away() {
    let world = World::new().await;
    let client = world.client("client").await;
    std::fs::remove_file(world.directory.path().join("hook.sock")).unwrap();
    let output = client.git(&["push", "heroku", "main"]).await;
    let said = stderr(&output);
    assert!(
        said.contains("[remote rejected] main -> main (the platform is away; push again in a moment)"),
        "{said}"
    );
    accepted_after_rebind(&world, &client).await;
}

async fn accepted_after_rebind(world: &World, client: &Client) {
    use std::sync::Arc;
    struct Yes;
    #[async_trait::async_trait]
    impl renga_ports::PushGate for Yes {
        async fn push(
            &self,
            request: renga_ports::PushRequest,
            _: tokio::sync::mpsc::Sender<Bytes>,
        ) -> Vec<RefVerdict> {
            request
                .updates
                .into_iter()
                .map(|update| RefVerdict { name: update.name, refused: None })
                .collect()
        }
    }
    let listener = world.store.bind_hooks().unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let serve = world.store.serve_hooks(listener, Arc::new(Yes), stop.clone());
    let push = async {
        let output = client.git(&["push", "heroku", "main"]).await;
        stop.cancel();
        output
    };
    let ((), output) = tokio::join!(serve, push);
    assert!(output.status.success(), "{}", stderr(&output));
}

async fn nothing_runs(needle: &Path) {
    until("all processes have ended", || async { processes(needle).is_empty() }).await;
}

#[tokio::test]
async fn below_the_floor_nothing_is_received_and_fetches_go_on() {
    let world = World::with(|config| config.disk_floor_bytes = u64::MAX).await;
    let client = world.client("client").await;
    let output = client.git(&["push", "heroku", "main"]).await;
    assert!(!output.status.success() && world.no_call());
    let said = stderr(&output);
    assert!(said.contains("remote: !     The platform's disk is almost full"), "{said}");
    client.ok(&["fetch", "-q", "heroku"]).await;
}

#[tokio::test]
async fn what_nothing_reaches_goes_when_it_is_old() {
    let world = World::new().await;
    let client = world.client("client").await;
    accepted(&world, client.git(&["push", "heroku", "main"])).await;
    let lost = client.commit("big", "x", "Lost").await;
    accepted(&world, client.git(&["push", "heroku", "main"])).await;
    client.ok(&["reset", "-q", "--hard", "main~1"]).await;
    let kept = client.commit("other", "y", "Kept").await;
    accepted(&world, client.git(&["push", "--force", "heroku", "main"])).await;

    let has = async |object: &str| {
        let repository = world.repository().to_str().unwrap().to_owned();
        client.git(&["--git-dir", &repository, "cat-file", "-e", object]).await.status.success()
    };
    world.store.repository_collect(world.app).await.unwrap();
    assert!(has(&lost).await, "it is young");
    age(&world.repository().join("objects"));
    world.store.repository_collect(world.app).await.unwrap();
    assert!(has(&kept).await && !has(&lost).await);
}

/// Two days are over for every file.
fn age(folder: &Path) {
    let past = std::process::Command::new("find")
        .arg(folder)
        .args(["-type", "f", "-exec", "touch", "-d", "2 days ago", "{}", "+"])
        .status();
    assert!(past.unwrap().success());
}

#[tokio::test]
async fn collection_sweeps_what_a_crash_left_and_keeps_what_is_needed() {
    let world = World::new().await;
    let client = world.client("client").await;
    let lost = client.head().await;
    accepted(&world, client.git(&["push", "heroku", "main"])).await;
    let left = format!("refs/renga/staging/{lost}");
    let update =
        ["--git-dir", world.repository().to_str().unwrap(), "update-ref", &left, &lost].map(str::to_owned);
    client.ok(&update.each_ref().map(String::as_str)).await;
    assert!(world.refs().await.contains_key(&left));
    let kept = client.commit("more", "x", "More").await;
    let push = client.start(&["push", "heroku", "main"]);
    let waiting = world.call().await;
    // Another push ends, and what it starts leaves the one at the gate alone.
    accepted(&world, client.git(&["push", "heroku", "main~1:refs/heads/master"])).await;
    until("the sweep", || async { !world.refs().await.contains_key(&left) }).await;
    assert!(world.refs().await.contains_key(&format!("refs/renga/staging/{kept}")));
    world.accept(waiting).await;
    assert!(push.wait_with_output().await.unwrap().status.success());
    client.ok(&["clone", "-q", &world.url(), "copy"]).await;
}
