//! Frozen dynos: halted whole, thawed by a stop, found frozen by the next hand, and never left behind.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    time::Duration,
};

use renga_model::{DynoId, ExitReason};
use renga_ports::{Runtime, RuntimeError};
use renga_runtime::Hand;

use crate::site::{Site, Traces, bash, web};

/// What the kernel says, in either version of control groups.
fn is_halted(site: &Site, id: DynoId) -> bool {
    let group = format!("renga-{}/{id}/app", site.config.instance.as_str());
    let read = |path: PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    let one = read(PathBuf::from("/sys/fs/cgroup/freezer").join(&group).join("freezer.state"));
    let two = read(PathBuf::from("/sys/fs/cgroup").join(&group).join("cgroup.events"));
    one.trim() == "FROZEN" || two.lines().any(|line| line == "frozen 1")
}

/// Every two seconds it may run for a moment.
async fn halted(site: &Site, id: DynoId) {
    site.until("halt", async || is_halted(site, id).then_some(())).await;
    assert!(site.report(id).await.unwrap().frozen);
}

#[tokio::test(flavor = "multi_thread")]
async fn real_what_is_frozen_waits_and_answers_when_thawed() {
    let site = Site::open().await;
    let spec = web("here");
    let id = spec.id;
    site.hand.start(spec).await.unwrap();
    let address = site.ready(id).await.address.unwrap();
    site.hand.freeze(id).await.unwrap();
    site.hand.freeze(id).await.unwrap();
    halted(&site, id).await;
    // The kernel accepts for it, and keeps what is sent.
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    assert!(site.hand.usage().await.unwrap().iter().any(|usage| usage.id == id), "it holds memory");
    site.hand.thaw(id).await.unwrap();
    site.hand.thaw(id).await.unwrap();
    assert!(!site.report(id).await.unwrap().frozen && !is_halted(&site, id));
    let mut answer = String::new();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("here\n"), "{answer}");
    for call in [site.hand.freeze(DynoId::random()).await, site.hand.thaw(DynoId::random()).await] {
        assert!(matches!(call, Err(RuntimeError::NotFound(_))), "{call:?}");
    }
}

/// As a worker does that gives its master a sign now and then.
const WAITER: &str = "trap 'echo term; exit 3' TERM
python3 -c \"
import select, time
print('waits', flush=True)
select.select([], [], [], 3)
print('awoke', flush=True)
time.sleep(1000)
\" & wait";

#[tokio::test(flavor = "multi_thread")]
async fn real_a_stop_reaches_what_is_frozen() {
    let site = Site::open().await;
    let spec = bash(WAITER);
    let id = spec.id;
    site.hand.start(spec).await.unwrap();
    site.until("begin", async || site.output(id).contains("waits").then_some(())).await;
    site.hand.freeze(id).await.unwrap();
    halted(&site, id).await;
    // It breathes, and time in the freezer is time.
    site.until("a sign", async || site.output(id).contains("awoke").then_some(())).await;
    halted(&site, id).await;
    site.hand.stop(id, Duration::from_secs(20)).await.unwrap();
    let exit = site.exit(id).await;
    assert_eq!((exit.code, exit.reason), (3, ExitReason::Exited), "SIGTERM, and its own end");
    assert!(matches!(site.hand.freeze(id).await, Err(RuntimeError::Refused(_))));
    site.hand.forget(id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn real_frozen_dynos_are_adopted_and_leave_nothing_behind() {
    let mut site = Site::open().await;
    let before = Traces::of(&site);
    let specs = [bash(WAITER), bash(WAITER), bash(WAITER)];
    let ids = specs.each_ref().map(|spec| spec.id);
    for spec in specs {
        site.hand.start(spec).await.unwrap();
    }
    for id in ids {
        site.until("begin", async || site.output(id).contains("waits").then_some(())).await;
        site.hand.freeze(id).await.unwrap();
    }
    kill_supervisor(&site, ids[1]).await;
    assert_eq!(site.exit(ids[1]).await.reason, ExitReason::SupervisorLost);
    site.hand.close().await;
    kill_supervisor(&site, ids[2]).await;

    site.hand = Hand::open(site.config.clone()).await.unwrap();
    assert_eq!(site.exit(ids[2]).await.reason, ExitReason::SupervisorLost);
    halted(&site, ids[0]).await;
    site.hand.stop(ids[0], Duration::from_secs(20)).await.unwrap();
    assert_eq!(site.exit(ids[0]).await.code, 3);
    for id in ids {
        site.hand.forget(id).await.unwrap();
    }
    site.until("clean machine", async || (Traces::of(&site) == before).then_some(())).await;
}

async fn kill_supervisor(site: &Site, id: DynoId) {
    let state = std::fs::read_to_string(site.dyno_dir(id).join("state.json")).unwrap();
    let state: renga_supervision::State = serde_json::from_str(&state).unwrap();
    let pid = rustix::process::Pid::from_raw(state.supervisor_pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let gone = || !std::path::Path::new(&format!("/proc/{}", pid.as_raw_pid())).exists();
    site.until("the supervisor's end", async || gone().then_some(())).await;
}
