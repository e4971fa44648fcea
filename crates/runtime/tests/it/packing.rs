//! Layers made of what dynos leave.

use jiff::Timestamp;
use renga_ports::{DynoSpec, PackedLayer, Runtime, RuntimeError};

use crate::site::{Site, bash, sha256};

async fn packed(site: &Site, script: &str) -> PackedLayer {
    let spec = bash(script);
    let id = spec.id;
    let (exit, output) = site.run(spec).await;
    assert_eq!(exit.code, 0, "{exit:?} {output}");
    let layer = site.hand.pack(id, "/app/out").await.unwrap();
    assert_eq!(site.hand.pack(id, "/app/out").await.unwrap(), layer);
    site.hand.forget(id).await.unwrap();
    layer
}

#[tokio::test(flavor = "multi_thread")]
async fn real_packing_is_reproducible_and_runs_again() {
    let site = Site::open().await;
    let make = |order: &str| {
        format!(
            "mkdir -p /app/out/app/d && cd /app/out/app && for f in {order}; do seq 2000 > d/$f; done
             ln -s d/a link && ln d/a hard && chmod 755 d/b && mkdir empty && ln -s /etc/shadow bad"
        )
    };
    let first = packed(&site, &make("a b c e f g")).await;
    let second = packed(&site, &make("g f e c b a")).await;
    assert_eq!(first, second, "the order of making shows");
    let image = site.config.data_dir.join(format!("node/layers/{}.erofs", first.digest));
    assert_eq!(sha256(&image), first.digest.as_str());
    let layers = site.hand.layers().await.unwrap();
    assert_eq!((layers.len(), layers[0].bytes, layers[0].in_use), (1, first.bytes, false));

    let script = "cd /app && stat -c '%U:%G %a %h %n' d d/a d/b hard && readlink link bad && tail -1 link && date -r d/a +%s";
    let spec = DynoSpec { layers: vec![first.digest.clone()], ..bash(script) };
    let id = spec.id;
    let (exit, output) = site.run(spec).await;
    assert_eq!(exit.code, 0, "{exit:?} {output}");
    let expected = "app:app 755 2 d\napp:app 644 2 d/a\napp:app 755 1 d/b\napp:app 644 2 hard\nd/a\n/etc/shadow\n2000\n0\n";
    assert_eq!(output, expected);

    let remove = async |before| site.hand.layer_remove(&first.digest, before).await;
    assert!(matches!(remove(Timestamp::MAX).await, Err(RuntimeError::Refused(_))), "it is mounted");
    site.hand.forget(id).await.unwrap();
    assert!(matches!(remove(layers[0].packed_at).await, Err(RuntimeError::Refused(_))), "it is too young");
    remove(Timestamp::MAX).await.unwrap();
    remove(Timestamp::MAX).await.unwrap();
    assert_eq!(site.hand.layers().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn real_no_link_is_followed_out_of_what_a_dyno_left() {
    let site = Site::open().await;
    let spec = bash(
        "ln -s /etc /app/etc; ln -s /etc/passwd /app/passwd; mkfifo /app/fifo; mkdir /app/d; echo hi > /app/d/f
         head -c 2000 /dev/zero > /app/large",
    );
    let id = spec.id;
    site.hand.start(spec).await.unwrap();
    site.exit(id).await;
    assert_eq!(site.hand.read_file(id, "/app/d/f", 100).await.unwrap(), b"hi\n");
    for path in
        ["/app/passwd", "/app/etc/passwd", "/app/fifo", "/app/d", "/app/large", "app/d/f", "/app/../x"]
    {
        let read = site.hand.read_file(id, path, 1000).await;
        assert!(matches!(read, Err(RuntimeError::Refused(_))), "{path} {read:?}");
    }
    assert!(matches!(site.hand.read_file(id, "/app/none", 100).await, Err(RuntimeError::NotFound(_))));
    for path in ["/app/etc", "/app/etc/ssl", "/app/passwd", "/app/d/f"] {
        let packed = site.hand.pack(id, path).await;
        assert!(matches!(packed, Err(RuntimeError::Refused(_))), "{path} {packed:?}");
    }
    assert!(matches!(site.hand.pack(id, "/none").await, Err(RuntimeError::NotFound(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn real_a_running_dyno_is_not_packed() {
    let site = Site::open().await;
    let spec = bash("mkdir /app/out; sleep 1000");
    let id = spec.id;
    site.hand.start(spec).await.unwrap();
    site.ready(id).await;
    assert!(matches!(site.hand.pack(id, "/app/out").await, Err(RuntimeError::Refused(_))));
    assert!(matches!(site.hand.read_file(id, "/etc/hosts", 100).await, Err(RuntimeError::Refused(_))));
}
