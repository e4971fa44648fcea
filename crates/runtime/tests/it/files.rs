//! What a dyno sees of files.

use std::{fs, os::unix::fs::PermissionsExt};

use renga_model::ExitReason;
use renga_ports::{DynoSpec, InputFile, MountedLayer, Runtime, RuntimeError};

use crate::site::{Site, bash, spec_file};

#[tokio::test(flavor = "multi_thread")]
async fn real_layers_lie_over_the_stack_with_right_owners() {
    let site = Site::open().await;
    let lower = site.layer(&[("app/a", "lower"), ("app/b", "lower")]);
    let upper = site.layer(&[("app/b", "upper"), ("opt/tool/x", "tool")]);
    let script = "cat /app/a /app/b /opt/tool/x; echo; id -u; id -un; pwd; echo $HOME $GREETING
        stat -c '%u %n' /app /app/a /etc/passwd /usr/bin/env /tmp
        echo mine > /app/new && echo over > /app/b && cat /app/new /app/b && stat -c %u /app/new
        touch /tmp/t && ! touch /usr/t 2>/dev/null && ! touch /etc/t 2>/dev/null && echo guarded
        grep -c . /etc/resolv.conf; cat /sys/fs/cgroup/memory/memory.limit_in_bytes";
    let spec = DynoSpec { layers: vec![lower.clone(), upper], ..bash(script) };
    let (exit, output) = site.run(spec).await;
    assert_eq!(exit.code, 0, "{exit:?} {output}");
    let expected = "lowerupper\
        tool\n1000\napp\n/app\n/app hello\n1000 /app\n1000 /app/a\n0 /etc/passwd\n0 /usr/bin/env\n0 /tmp\n\
        mine\nover\n1000\nguarded\n1\n134217728\n";
    assert_eq!(output, expected);
    // The layer itself is as it was.
    assert_eq!(site.bash("ls /app").await, "");
    let again = DynoSpec { layers: vec![lower], ..bash("cat /app/a /app/b; ls /app") };
    assert_eq!(site.run(again).await.1, "lowerlowera\nb\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn real_a_build_has_its_inputs_builder_and_folders() {
    let site = Site::open().await;
    let cached = site.layer(&[("python/bin", "x")]);
    let source = site.config.exchange_dir.join("source.tar");
    fs::write(&source, "source").unwrap();
    std::os::unix::fs::chown(&source, Some(site.config.server_uid), None).unwrap();
    fs::set_permissions(&source, fs::Permissions::from_mode(0o600)).unwrap();
    let script = "cat /run/renga/build.json /in/source.tar /layers/py/python/bin; echo; /renga/build
        touch /app/x /out/x /layers/x /tmp/x /run/renga/x && echo writable
        for f in /in/source.tar /layers/py/python/bin /renga/build; do echo >> $f || echo safe; done 2>/dev/null
        stat -c '%u %a' /run/renga/build.json; grep -c BEGIN /etc/ssl/certs/ca-certificates.crt > /out/certs";
    let spec = DynoSpec {
        mounts: vec![MountedLayer { digest: cached, path: "/layers/py".into() }],
        inputs: vec![InputFile { host: source, path: "/in/source.tar".into() }],
        files: vec![spec_file("/run/renga/build.json", "request ")],
        with_builder: true,
        ..bash(script)
    };
    let id = spec.id;
    let (exit, output) = site.run(spec).await;
    assert_eq!(exit.code, 0, "{exit:?} {output}");
    assert_eq!(output, "request sourcex\nbuilt by 1000\nwritable\nsafe\nsafe\nsafe\n1000 600\n");
    let certs = site.hand.read_file(id, "/out/certs", 100).await.unwrap();
    assert!(String::from_utf8(certs).unwrap().trim().parse::<u32>().unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn real_inputs_come_only_from_the_exchange_directory() {
    let site = Site::open().await;
    std::os::unix::fs::symlink("/etc/shadow", site.config.exchange_dir.join("link")).unwrap();
    let missing = site.config.exchange_dir.join("missing");
    let dots = site.config.exchange_dir.join("../data/node/tmp");
    for host in ["/etc/shadow".into(), site.config.exchange_dir.join("link"), missing, dots] {
        let input = InputFile { host: host.clone(), path: "/in".into() };
        let spec = DynoSpec { inputs: vec![input], ..bash("cat /in") };
        let (exit, _) = site.run(spec).await;
        assert!(matches!(exit.reason, ExitReason::NotStarted(_)), "{} {exit:?}", host.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn real_a_full_disk_is_an_error_and_not_a_kill() {
    let site = Site::open().await;
    let script =
        "dd if=/dev/zero of=/tmp/big bs=1M count=400 2>&1 | grep -o 'No space left'; df -m / | tail -1";
    let output = site.bash(script).await;
    assert!(output.starts_with("No space left"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn real_a_disk_takes_no_more_than_its_rate() {
    let site = Site::open_with(|config| config.disk_write_bytes_per_s = Some(16 << 20)).await;
    // What the kernel writes after the command: the dyno waits for it only with `sync`.
    let script = "dd if=/dev/urandom of=/tmp/big bs=1M count=32 2>/dev/null; \
                  begin=${EPOCHREALTIME/./}; sync; echo $((${EPOCHREALTIME/./} - begin))";
    let microseconds: u64 = site.bash(script).await.trim().parse().unwrap();
    // Some of it is written before; without a limit this takes some 50 ms.
    assert!(microseconds > 1_000_000, "32 MiB at 16 MiB/s were written in {microseconds} us");
}

#[tokio::test(flavor = "multi_thread")]
async fn real_the_host_stack_needs_nothing() {
    let site = Site::open().await;
    let spec = DynoSpec {
        stack: "host".parse().unwrap(),
        ..bash(
            "id -un; ls -d /bin /usr/bin; echo > /usr/x || echo safe; python3 -c 'print(6*7)'; touch /app/x",
        )
    };
    let (exit, output) = site.run(spec).await;
    assert_eq!(exit.code, 0, "{exit:?} {output}");
    assert!(output.contains("app\n") && output.contains("safe") && output.contains("42"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn real_what_makes_no_sense_is_refused() {
    let site = Site::open().await;
    let refused = async |spec: DynoSpec| match site.hand.start(spec).await {
        Err(RuntimeError::Refused(_)) => {}
        other => panic!("{other:?}"),
    };
    refused(DynoSpec { stack: "cedar-14".parse().unwrap(), ..bash("true") }).await;
    refused(DynoSpec { argv: Vec::new(), ..bash("true") }).await;
    refused(DynoSpec { files: vec![spec_file("/run/../etc/x", "")], ..bash("true") }).await;
    let unknown = "0".repeat(64).parse().unwrap();
    let missing = DynoSpec { layers: vec![unknown], ..bash("true") };
    assert!(matches!(site.hand.start(missing).await, Err(RuntimeError::NotFound(_))));
    assert_eq!(site.hand.inventory().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn real_below_the_floor_nothing_is_started() {
    let site = Site::open_with(|config| config.disk_floor_bytes = u64::MAX / 2).await;
    assert!(matches!(site.hand.start(bash("true")).await, Err(RuntimeError::NoRoom(_))));
}
