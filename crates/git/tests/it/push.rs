//! Pushes that end as git wants.

use bytes::Bytes;
use renga_ports::{Git, RefVerdict};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::world::{Client, World, accepted, refused, stderr};

#[tokio::test]
async fn a_push_shows_progress_live_and_can_be_cloned_back() {
    let world = World::new().await;
    let client = world.client("client").await;
    let commit = client.head().await;
    let mut push = client.start(&["push", "heroku", "main"]);
    let mut lines = BufReader::new(push.stderr.take().unwrap()).lines();

    let call = world.call().await;
    assert_eq!((call.request.app, call.request.pusher), (world.app, world.account));
    let [update] = call.request.updates.as_slice() else { panic!("one update") };
    assert_eq!((update.name.as_str(), update.new.as_str()), ("refs/heads/main", commit.as_str()));
    assert_eq!(update.old, "0".repeat(40));
    assert_eq!(world.refs().await[&format!("refs/renga/staging/{commit}")], commit);
    assert_eq!(world.store.commit_subject(world.app, &commit).await.unwrap(), "First commit");

    // The line is on the terminal while the gate has not answered.
    call.progress.send(Bytes::from("-----> Building\n")).await.unwrap();
    let line = loop {
        let line = lines.next_line().await.unwrap().expect("the push goes on");
        if line.starts_with("remote:") {
            break line;
        }
    };
    assert_eq!(line.trim_end(), "remote: -----> Building");
    let big = (0..20_000).map(|n| format!("line {n}\n")).collect::<String>();
    call.progress.send(Bytes::from(big)).await.unwrap();
    world.accept(call).await;
    let mut rest = Vec::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        rest.push(line);
    }
    assert!(push.wait().await.unwrap().success(), "{rest:?}");
    assert!(rest.iter().any(|line| line.trim_end() == "remote: line 19999"));
    assert!(rest.iter().any(|line| line.contains("* [new branch]      main -> main")), "{rest:?}");

    let refs = world.refs().await;
    assert_eq!(refs.len(), 1, "{refs:?}");
    assert_eq!(refs["refs/heads/main"], commit);
    client.ok(&["clone", "-q", &world.url(), "copy"]).await;
    assert_eq!(client.ok(&["-C", "copy", "rev-parse", "HEAD"]).await, commit);
    let again = client.git(&["push", "heroku", "main"]).await;
    assert!(stderr(&again).contains("Everything up-to-date"), "{}", stderr(&again));
    assert!(world.no_call());
}

#[tokio::test]
async fn a_refusal_reads_as_herokus_and_moves_nothing() {
    let world = World::new().await;
    let client = world.client("client").await;
    for _ in 0..2 {
        let refuse = async {
            let call = world.call().await;
            let said = Bytes::from(" !     Push rejected, failed to compile Python app.\n");
            call.progress.send(said).await.unwrap();
            drop(call.progress);
            call.answer.send(vec![refused("refs/heads/main", "pre-receive hook declined")]).unwrap();
        };
        let (output, ()) = tokio::join!(client.git(&["push", "heroku", "main"]), refuse);
        let said = stderr(&output);
        assert!(!output.status.success());
        assert!(said.contains("remote:  !     Push rejected, failed to compile Python app."), "{said}");
        assert!(said.contains("! [remote rejected] main -> main (pre-receive hook declined)"), "{said}");
        assert!(said.contains("error: failed to push some refs to"), "{said}");
        assert!(world.refs().await.is_empty());
    }
}

#[tokio::test]
async fn history_is_rewritten_only_with_force_and_never_deleted() {
    let world = World::new().await;
    let client = world.client("client").await;
    accepted(&world, client.git(&["push", "heroku", "main"])).await;
    client.ok(&["commit", "-q", "--amend", "-m", "Another first"]).await;
    let rewritten = client.head().await;

    let output = client.git(&["push", "heroku", "main"]).await;
    assert!(stderr(&output).contains("! [rejected]        main -> main"), "{}", stderr(&output));
    assert!(world.no_call());
    let output = accepted(&world, client.git(&["push", "--force", "heroku", "main"])).await;
    assert!(output.contains("(forced update)"), "{output}");
    assert_eq!(world.refs().await["refs/heads/main"], rewritten);

    let output = client.git(&["push", "heroku", ":main"]).await;
    let said = stderr(&output);
    assert!(said.contains("! [remote rejected] main (deletion prohibited)"), "{said}");
    assert!(world.no_call());
    assert_eq!(world.refs().await["refs/heads/main"], rewritten);
}

#[tokio::test]
async fn two_refs_get_a_verdict_each() {
    let world = World::new().await;
    let client = world.client("client").await;
    client.ok(&["branch", "feature"]).await;
    client.ok(&["tag", "-a", "v1", "-m", "One"]).await;
    let decide = async {
        let call = world.call().await;
        let mut names: Vec<_> = call.request.updates.iter().map(|update| update.name.clone()).collect();
        names.sort();
        assert_eq!(names, ["refs/heads/feature", "refs/heads/main", "refs/tags/v1"]);
        let main = call.request.updates.iter().find(|update| update.name == "refs/heads/main").unwrap();
        world.store.branch_move(world.app, "main", &main.new).await.unwrap();
        let verdicts = vec![
            RefVerdict { name: "refs/heads/main".into(), refused: None },
            refused("refs/heads/feature", "only main and master are deployed"),
        ];
        call.answer.send(verdicts).unwrap();
    };
    let (output, ()) = tokio::join!(client.git(&["push", "heroku", "main", "feature", "v1"]), decide);
    let said = stderr(&output);
    assert!(said.contains("* [new branch]      main -> main"), "{said}");
    assert!(
        said.contains("[remote rejected] feature -> feature (only main and master are deployed)"),
        "{said}"
    );
    assert!(said.contains("[remote rejected] v1 -> v1 (internal error: no decision was made)"), "{said}");
    assert_eq!(world.refs().await.into_keys().collect::<Vec<_>>(), ["refs/heads/main"]);
}

#[tokio::test]
async fn a_ref_that_moved_meanwhile_is_refused() {
    let world = World::new().await;
    let client = world.client("client").await;
    accepted(&world, client.git(&["push", "heroku", "main"])).await;
    let other = world.directory.path().join("other");
    client.ok(&["clone", "-q", &world.url(), other.to_str().unwrap()]).await;
    let other = Client { path: other };
    other.commit("other", "x", "Theirs").await;

    client.commit("mine", "y", "Mine").await;
    let late = async {
        world.held.notified().await;
        accepted(&world, other.git(&["push", "origin", "main"])).await;
        world.go.notify_one();
    };
    let push = client.git(&["-c", "http.extraHeader=x-hold: 1", "push", "heroku", "main"]);
    let (output, ()) = tokio::join!(push, late);
    assert!(
        stderr(&output).contains("! [rejected]        main -> main (fetch first)"),
        "{}",
        stderr(&output)
    );
    assert!(world.no_call());
}

#[tokio::test]
async fn large_and_shallow_transfers() {
    let world = World::new().await;
    let client = world.client("client").await;
    // Noise does not compress; the client sends more than its buffer, so in chunks.
    let mut state = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(24 * 1024 * 1024)
    .collect();
    client.commit("noise", &noise, "Noise").await;
    accepted(&world, client.git(&["push", "heroku", "main"])).await;
    let bytes = world.store.repository_bytes(world.app).await.unwrap();
    assert!(bytes > noise.len() as u64, "{bytes}");

    let shallow = world.directory.path().join("shallow");
    client.ok(&["clone", "-q", "--depth=1", &world.url(), shallow.to_str().unwrap()]).await;
    let shallow = Client { path: shallow };
    assert_eq!(std::fs::read(shallow.path.join("noise")).unwrap(), noise);
    assert_eq!(shallow.ok(&["rev-list", "--count", "HEAD"]).await, "1");
    shallow.commit("more", "x", "On top of what the server knows").await;
    accepted(&world, shallow.git(&["push", "origin", "main"])).await;

    // A shallow clone of somewhere else lacks history that we lack too: refused, as at Heroku.
    let elsewhere = world.client("elsewhere").await;
    elsewhere.commit("a", "1", "Second").await;
    let part = world.directory.path().join("part");
    let source = format!("file://{}", elsewhere.path.display());
    client.ok(&["clone", "-q", "--depth=1", &source, part.to_str().unwrap()]).await;
    let part = Client { path: part };
    let output = part.git(&["push", "--force", &world.url(), "main"]).await;
    assert!(stderr(&output).contains("(shallow update not allowed)"), "{}", stderr(&output));
}

#[tokio::test]
async fn a_fetch_with_many_haves_is_decoded() {
    let world = World::new().await;
    let client = world.client("client").await;
    accepted(&world, client.git(&["push", "heroku", "main"])).await;
    // More than 1,024 bytes of "have" lines: git compresses its request.
    let other = world.client("other").await;
    for n in 0..60 {
        other.ok(&["commit", "-q", "--allow-empty", "-m", &format!("Empty {n}")]).await;
    }
    for version in ["0", "2"] {
        other.ok(&["-c", &format!("protocol.version={version}"), "fetch", "-q", "heroku"]).await;
        assert_eq!(other.ok(&["rev-parse", "heroku/main"]).await, client.head().await);
        other.ok(&["update-ref", "-d", "refs/remotes/heroku/main"]).await;
        other.ok(&["reflog", "expire", "--expire=now", "--all"]).await;
        other.ok(&["gc", "-q", "--prune=now"]).await;
    }
}
