//! Starts, stops, exits, adoption, and that nothing stays.

use std::time::{Duration, Instant};

use bytes::Bytes;
use renga_model::{DynoId, ExitReason};
use renga_ports::{AttachInput, AttachOutput, DynoPhase, DynoSpec, InputFile, Runtime, RuntimeError, Tty};
use renga_runtime::Hand;

use crate::site::{Site, Traces, bash, spec, web};

#[tokio::test(flavor = "multi_thread")]
async fn real_forgetting_leaves_nothing_behind() {
    let site = Site::open().await;
    let before = Traces::of(&site);
    let specs = [bash("exit 7"), web("x"), spec(&["/no/such/program"])];
    let ids: Vec<DynoId> = specs.iter().map(|spec| spec.id).collect();
    for spec in specs {
        site.hand.start(spec).await.unwrap();
    }
    assert_eq!(site.exit(ids[0]).await.code, 7);
    site.ready(ids[1]).await;
    assert!(matches!(site.hand.forget(ids[1]).await, Err(RuntimeError::Refused(_))));
    assert_ne!(Traces::of(&site), before);
    site.hand.stop(ids[1], Duration::from_secs(10)).await.unwrap();
    site.exit(ids[1]).await;
    let exit = site.exit(ids[2]).await;
    assert!(exit.code == 127 || matches!(exit.reason, ExitReason::NotStarted(_)), "{exit:?}");
    for id in ids {
        site.hand.forget(id).await.unwrap();
        site.hand.forget(id).await.unwrap();
    }
    assert_eq!(site.hand.inventory().await.unwrap(), []);
    let traces = site.until("clean machine", async || (Traces::of(&site) == before).then_some(()));
    traces.await;
}

#[tokio::test(flavor = "multi_thread")]
async fn real_starting_twice_starts_one_and_stop_is_obeyed() {
    let site = Site::open().await;
    let spec = bash("trap 'echo term; exit 3' TERM; echo begun; while :; do sleep 0.05; done");
    let id = spec.id;
    let (first, second) = tokio::join!(site.hand.start(spec.clone()), site.hand.start(spec.clone()));
    first.unwrap();
    second.unwrap();
    site.ready(id).await;
    assert!(site.report(id).await.unwrap().started_at.is_some());
    site.until("begin", async || site.output(id).contains("begun").then_some(())).await;
    site.hand.stop(id, Duration::from_secs(20)).await.unwrap();
    site.hand.stop(id, Duration::from_secs(20)).await.unwrap();
    let exit = site.exit(id).await;
    assert_eq!((exit.code, exit.reason), (3, ExitReason::Exited));
    // bash adds a word of its own about the sleep that the signal ended.
    assert!(site.output(id).contains("term\n"), "{}", site.output(id));
    site.hand.start(spec).await.unwrap();
    assert!(matches!(site.report(id).await.unwrap().phase, DynoPhase::Exited(_)), "an old id starts nothing");
    site.hand.stop(DynoId::random(), Duration::ZERO).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn real_dynos_outlive_the_hand_and_are_adopted() {
    let mut site = Site::open().await;
    let (running, ending, lost) = (web("here"), bash("sleep 1; exit 5"), bash("sleep 1000"));
    let ids = [running.id, ending.id, lost.id];
    for spec in [running, ending, lost] {
        site.hand.start(spec).await.unwrap();
    }
    site.ready(ids[0]).await;
    site.ready(ids[2]).await;
    site.hand.close().await;
    let killed = site.dyno_dir(ids[2]);
    let state = std::fs::read_to_string(killed.join("state.json")).unwrap();
    let state: renga_supervision::State = serde_json::from_str(&state).unwrap();
    let pid = rustix::process::Pid::from_raw(state.supervisor_pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    site.until("end", async || {
        (!std::path::Path::new(&format!("/proc/{}", pid.as_raw_pid())).exists()).then_some(())
    })
    .await;

    site.hand = Hand::open(site.config.clone()).await.unwrap();
    let report = site.ready(ids[0]).await;
    let address = report.address.unwrap();
    assert!(std::net::TcpStream::connect(address).is_ok());
    assert_eq!(site.exit(ids[1]).await.code, 5);
    assert_eq!(site.exit(ids[2]).await.reason, ExitReason::SupervisorLost);
    site.hand.stop(ids[0], Duration::from_secs(5)).await.unwrap();
    site.exit(ids[0]).await;
    for id in ids {
        site.hand.forget(id).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn real_what_was_never_begun_can_be_asked_for_again() {
    let mut site = Site::open().await;
    let (whole, half) = (bash("sleep 1000"), bash("echo begun"));
    let (whole_id, half_id) = (whole.id, half.id);
    site.hand.start(whole).await.unwrap();
    site.ready(whole_id).await;
    site.hand.close().await;
    // As a node leaves it that dies between the first two files and the supervisor.
    std::fs::create_dir(site.dyno_dir(half_id)).unwrap();
    for file in ["plan.json", "label.json"] {
        let text = std::fs::read_to_string(site.dyno_dir(whole_id).join(file)).unwrap();
        let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
        match file {
            "plan.json" => json["index"] = 20.into(),
            _ => json["id"] = half_id.to_string().into(),
        }
        std::fs::write(site.dyno_dir(half_id).join(file), json.to_string()).unwrap();
    }

    site.hand = Hand::open(site.config.clone()).await.unwrap();
    assert!(site.report(half_id).await.is_none() && !site.dyno_dir(half_id).exists());
    site.ready(whole_id).await;
    site.hand.start(half).await.unwrap();
    assert_eq!(site.exit(half_id).await.code, 0);
    assert_eq!(site.output(half_id), "begun\n");
    site.hand.stop(whole_id, Duration::ZERO).await.unwrap();
    site.exit(whole_id).await;
    for id in [whole_id, half_id] {
        site.hand.forget(id).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn real_many_start_at_once_and_failures_leave_nothing() {
    let site = Site::open().await;
    let before = Traces::of(&site);
    let layer = site.layer(&[("app/a", "a")]);
    let specs: Vec<DynoSpec> = (0..16)
        .map(|number| {
            let mut spec =
                DynoSpec { layers: vec![layer.clone()], ..bash("cat /app/a; cat /etc/hosts | tail -1") };
            if number % 4 == 0 {
                // Found missing when half of it is made.
                spec.inputs =
                    vec![InputFile { host: site.config.exchange_dir.join("none"), path: "/in".into() }];
            }
            spec
        })
        .collect();
    let ids: Vec<DynoId> = specs.iter().map(|spec| spec.id).collect();
    let started = specs.into_iter().map(|spec| {
        let hand = site.hand.clone();
        async move { hand.start(spec).await }
    });
    let tasks = tokio_util::task::TaskTracker::new();
    let handles: Vec<_> = started.map(|start| tasks.spawn(start)).collect();
    for handle in handles {
        handle.await.unwrap().unwrap();
    }
    let mut addresses = std::collections::HashSet::new();
    for (number, id) in ids.iter().enumerate() {
        let exit = site.exit(*id).await;
        if number % 4 == 0 {
            assert!(matches!(exit.reason, ExitReason::NotStarted(_)), "{exit:?}");
        } else {
            assert_eq!(exit.code, 0, "{exit:?}");
            assert!(addresses.insert(site.output(*id)), "an address twice");
        }
        site.hand.forget(*id).await.unwrap();
    }
    site.until("clean machine", async || (Traces::of(&site) == before).then_some(())).await;
    assert_eq!(std::fs::read_dir(site.config.data_dir.join("node/dynos")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn real_one_data_directory_has_one_hand() {
    let site = Site::open().await;
    assert!(Hand::open(site.config.clone()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn real_memory_beyond_twice_the_quota_is_killed() {
    let site = Site::open().await;
    let mut spec = spec(&["/usr/bin/python3", "-c", "x = bytearray(200 << 20); print('had 200')"]);
    spec.limits.memory_bytes = 128 << 20;
    assert_eq!(site.run(spec.clone()).await.1, "had 200\n", "between quota and limit all goes on");
    spec.id = DynoId::random();
    spec.limits.memory_bytes = 48 << 20;
    let (exit, output) = site.run(spec).await;
    assert_eq!((exit.code, exit.reason), (137, ExitReason::OutOfMemory), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn real_usage_counts_what_was_allocated_and_no_file_that_was_read() {
    const MIB: u64 = 1 << 20;
    let site = Site::open().await;
    let script = "import os\nopen('/app/f', 'wb').write(bytes(24 << 20))\nos.sync()\n\
        open('/app/f', 'rb').read()\nopen('/dev/shm/s', 'wb').write(bytes(8 << 20))\n\
        x = bytearray(b'x') * (56 << 20)\nwhile True: pass";
    let mut greedy = DynoSpec { metered: true, ..spec(&["/usr/bin/python3", "-c", script]) };
    greedy.limits.memory_bytes = 60 * MIB;
    let idle = bash("sleep 1000");
    let ids = [greedy.id, idle.id];
    for spec in [greedy, idle] {
        site.hand.start(spec).await.unwrap();
    }
    let usage = async |id| site.hand.usage().await.unwrap().into_iter().find(|usage| usage.id == id);
    let seen = site.until("memory", async || {
        let usage = usage(ids[0]).await?;
        let busy = usage.runnable_tasks.is_some_and(|tasks| tasks > 0);
        (usage.memory.resident_bytes > 64 * MIB && busy).then_some(usage)
    });
    let seen = seen.await;
    println!("{seen:?}");
    assert!((64 * MIB..84 * MIB).contains(&seen.memory.resident_bytes), "{seen:?}");
    assert!(seen.memory.cache_bytes > 20 * MIB && seen.memory.counted_bytes() > seen.quota_bytes, "{seen:?}");
    assert_eq!((seen.quota_bytes, seen.runnable_tasks), (60 * MIB, Some(1)));
    let disk = seen.disk.unwrap();
    let used = disk.total_bytes - disk.free_bytes;
    assert!((24 * MIB..32 * MIB).contains(&used) && disk.files_free > 0, "{disk:?}");
    let idle = site.until("the other", async || usage(ids[1]).await).await;
    assert!(idle.memory.counted_bytes() < 20 * MIB && idle.runnable_tasks.is_none(), "{idle:?}");

    for id in ids {
        site.hand.stop(id, Duration::ZERO).await.unwrap();
        site.exit(id).await;
    }
    assert_eq!(site.hand.usage().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn real_listeners_are_told() {
    let site = Site::open().await;
    let script = "import socket, time\na = socket.create_server(('127.0.0.1', 5000))\n\
        b = socket.create_server(('::', 3000), family=socket.AF_INET6)\ntime.sleep(1000)";
    let spec = spec(&["/usr/bin/python3", "-c", script]);
    let id = spec.id;
    site.hand.start(spec).await.unwrap();
    let seen = site.until("both", async || {
        let listeners = site.hand.listeners(id).await.unwrap();
        (listeners.len() == 2).then_some(listeners)
    });
    let seen: Vec<String> = seen.await.iter().map(ToString::to_string).collect();
    assert_eq!(seen, ["127.0.0.1:5000", "[::]:3000"]);
    site.hand.stop(id, Duration::ZERO).await.unwrap();
    site.exit(id).await;
    assert_eq!(site.hand.listeners(id).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn real_a_terminal_is_attached() {
    let site = Site::open().await;
    let spec = DynoSpec {
        tty: Some(Tty { columns: 90, rows: 30 }),
        attach: true,
        ..spec(&["/bin/bash", "-c", "read line; echo got $line; stty size; exit 4"])
    };
    let id = spec.id;
    site.hand.start(spec).await.unwrap();
    site.ready(id).await;
    let mut session = site.hand.attach(id).await.unwrap();
    session.input.send(AttachInput::Data(Bytes::from_static(b"hi\n"))).await.unwrap();
    let mut text = Vec::new();
    let code = loop {
        match tokio::time::timeout(Duration::from_secs(20), session.output.recv()).await.unwrap() {
            Some(AttachOutput::Data(data)) => text.extend_from_slice(&data),
            Some(AttachOutput::Exit(code)) => break code,
            None => panic!("hung up: {}", String::from_utf8_lossy(&text)),
        }
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(code == 4 && text.contains("got hi") && text.contains("30 90"), "{code} {text}");
    assert_eq!(site.exit(id).await.code, 4);
    assert!(matches!(site.hand.attach(DynoId::random()).await, Err(RuntimeError::NotFound(_))));
}

/// Not a bar that load on the machine could fail: prints figures, and bounds only the absurd.
#[tokio::test(flavor = "multi_thread")]
async fn real_starts_are_quick_with_warm_layers() {
    let site = Site::open().await;
    let layers =
        vec![site.layer(&[("app/a", "a")]), site.layer(&[("app/b", "b")]), site.layer(&[("app/c", "c")])];
    let mut taken = Vec::new();
    for _ in 0..12 {
        let spec = DynoSpec { layers: layers.clone(), ..bash("true") };
        let id = spec.id;
        let begin = Instant::now();
        site.hand.start(spec).await.unwrap();
        taken.push(begin.elapsed());
        site.exit(id).await;
        let begin = Instant::now();
        site.hand.forget(id).await.unwrap();
        println!("start {:?}, forget {:?}", taken.last().unwrap(), begin.elapsed());
    }
    taken.sort();
    println!("median start {:?}", taken[taken.len() / 2]);
    assert!(taken[taken.len() / 2] < Duration::from_secs(2));
}
