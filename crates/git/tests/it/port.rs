//! The git port: what the engine asks for.

use renga_model::AppId;
use renga_ports::{Git, GitError};

use crate::world::{World, accepted, unpacked};

#[tokio::test]
async fn repositories_are_made_once_and_removed_whole() {
    let world = World::new().await;
    let app = AppId::random();
    let (a, b) = tokio::join!(world.store.repository_create(app), world.store.repository_create(app));
    a.unwrap();
    b.unwrap();
    assert!(world.store.repository_bytes(app).await.unwrap() > 0);
    world.store.repository_remove(app).await.unwrap();
    world.store.repository_remove(app).await.unwrap();
    let left: Vec<_> = std::fs::read_dir(world.directory.path().join("git")).unwrap().flatten().collect();
    assert!(
        left.iter().all(|entry| ["hooks", "home"].contains(&entry.file_name().to_str().unwrap())),
        "{left:?}"
    );
}

#[tokio::test]
async fn an_archive_holds_the_commit_and_nothing_else() {
    let world = World::new().await;
    let client = world.client("client").await;
    client.commit(".gitattributes", "secret export-ignore\nversion export-subst\n", "Attributes").await;
    client.commit("secret", "kept\n", "Secret").await;
    client.commit("version", "$Format:%H$\n", "Version").await;
    client.commit("zeros", vec![0; 40_000], "Zeros").await;
    let commit = client.commit("dir/app.py", "print()\n", "Grüße\nund mehr\n\nText").await;
    accepted(&world, client.git(&["push", "heroku", "main"])).await;

    assert_eq!(world.store.commit_subject(world.app, &commit).await.unwrap(), "Grüße und mehr");
    let target = world.directory.path().join("source.tar");
    for _ in 0..2 {
        world.store.archive(world.app, &commit, &target).await.unwrap();
    }
    let files = unpacked(&target);
    assert_eq!(files["README"], b"hello\n");
    assert_eq!(files["secret"], b"kept\n");
    assert_eq!(files["version"], b"$Format:%H$\n");
    assert_eq!(files["zeros"].len(), 40_000);
    assert_eq!(files["dir/app.py"], b"print()\n");
    let left: Vec<_> = std::fs::read_dir(world.directory.path()).unwrap().flatten().collect();
    assert!(!left.iter().any(|entry| entry.file_name().to_string_lossy().ends_with(".tmp")), "{left:?}");
}

#[tokio::test]
async fn what_is_not_there_or_too_large_is_an_error() {
    let world = World::with(|config| config.limits.source_bytes_max = 50_000).await;
    let client = world.client("client").await;
    let commit = client.commit("big", "0123456789".repeat(10_000), "Big").await;
    accepted(&world, client.git(&["push", "heroku", "main"])).await;
    let target = world.directory.path().join("source.tar");
    let error = world.store.archive(world.app, &commit, &target).await.unwrap_err();
    assert!(
        matches!(&error, GitError::Command { stderr, .. } if stderr.contains("more than 50000 bytes")),
        "{error}"
    );
    for commit in ["a".repeat(40), "main".into(), "--output=/tmp/x".into()] {
        assert!(world.store.archive(world.app, &commit, &target).await.is_err());
        assert!(world.store.commit_subject(world.app, &commit).await.is_err());
        assert!(world.store.branch_move(world.app, "main", &commit).await.is_err());
    }
    assert!(world.store.branch_move(world.app, "../x", &commit).await.is_err());
    assert!(!target.exists());
}

#[tokio::test]
async fn moving_a_branch_again_is_fine_and_clones_follow_it() {
    let world = World::new().await;
    let client = world.client("client").await;
    let commit = client.head().await;
    accepted(&world, client.git(&["push", "heroku", "main:master"])).await;
    for _ in 0..2 {
        world.store.branch_move(world.app, "master", &commit).await.unwrap();
    }
    client.ok(&["clone", "-q", &world.url(), "copy"]).await;
    assert_eq!(client.ok(&["-C", "copy", "branch", "--show-current"]).await, "master");
}
