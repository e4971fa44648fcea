//! Dynos that together promise more disk than there is.

use std::{path::PathBuf, process::Command};

use renga_model::ExitReason;
use renga_ports::Runtime;

use crate::site::{Site, bash, web};

/// A small machine's disk: unmounted at the end, after what lies on it has gone.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(options: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("renga-it-disk-").tempdir_in("/var/tmp").unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "renga-it"]).arg(folder.path());
        assert!(mount.status().unwrap().success());
        Self(folder)
    }
    fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("--lazy").arg(self.0.path()).status().ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn real_a_dyno_that_fills_the_machines_disk_goes_and_its_files_with_it() {
    let disk = SmallDisk::mount("size=400m,mode=0711");
    let site = Site::open_with(|config| {
        config.data_dir = disk.path();
        // Below half of it, dynos go.
        config.disk_floor_bytes = 300 << 20;
    })
    .await;
    let neighbour = web("neighbour");
    site.hand.start(neighbour.clone()).await.unwrap();
    site.ready(neighbour.id).await;
    let free_before = site.hand.capacity().await.unwrap().disk_bytes_free;
    let mut filler = bash("dd if=/dev/zero of=/app/f bs=1M count=330 conv=fsync; sleep 1000");
    filler.limits.disk_bytes = 512 << 20;
    site.hand.start(filler.clone()).await.unwrap();
    let exit = site.exit(filler.id).await;
    let ExitReason::NoRoom(why) = &exit.reason else { panic!("{exit:?}: {}", site.output(filler.id)) };
    assert!(why.starts_with("the platform's disk is almost full ("), "{why}");
    site.ready(neighbour.id).await;
    site.until("room again", async || {
        let capacity = site.hand.capacity().await.unwrap();
        let given_back = capacity.disk_bytes_free + (16 << 20) > free_before;
        (given_back && capacity.disk_bytes_dynos < 64 << 20).then_some(())
    })
    .await;
    site.hand.start(bash("true")).await.unwrap();
}
