//! What the dyno sees, and what it must not be able to do.

#![allow(unsafe_code)]

use std::{fs, time::Instant};

use crate::harness::{Dyno, UID_BASE, eventually};

fn check(script: &str, expected: &[&str]) {
    let (_, lines) = Dyno::bash(script).outcome();
    assert_eq!(lines, expected, "{script}");
}

#[test]
fn real_no_capabilities_no_new_privileges_and_a_filter() {
    let script = "grep -E '^(Cap|NoNewPrivs|Seccomp:|Groups)' /proc/self/status";
    let zero = "\t0000000000000000";
    let caps: Vec<_> =
        ["Inh", "Prm", "Eff", "Bnd", "Amb"].iter().map(|set| format!("Cap{set}:{zero}")).collect();
    let mut expected = vec!["Groups:\t ".to_owned()];
    expected.extend(caps);
    expected.extend(["NoNewPrivs:\t1".into(), "Seccomp:\t2".into()]);
    check(script, &expected.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn real_the_user_the_host_name_and_the_uid_range() {
    check("id -u; id -g; hostname; pwd; echo $HOME", &["1000", "1000", "dyno-host", "/app", "/app"]);
    let map = format!("{:>10} {:>10} {:>10}", 0, UID_BASE, 65_536);
    check("cat /proc/self/uid_map", &[&map]);
    let (_, lines) = Dyno::bash("echo hi > /app/f; stat -c '%u' /app/f; touch /f 2>&1").outcome();
    assert_eq!(lines[0], "1000");
    assert!(lines[1].contains("Permission denied"), "{lines:?}");
}

#[test]
fn real_dangerous_system_calls_answer_eperm() {
    let script = "
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *args):
    ctypes.set_errno(0)
    r = libc.syscall(*args)
    print(name, errno.errorcode.get(ctypes.get_errno(), 'ok'))
call('unshare', 272, 0x10000000)
call('mount', 165, b'none', b'/tmp', b'tmpfs', 0, None)
call('clone', 56, 0x10000000 | 17, 0, 0, 0, 0)
call('clone3', 435, 0, 0)
call('ptrace', 101, 16, 1, 0, 0)
call('keyctl', 250, 0, 0)
call('bpf', 321, 0, 0, 0)
call('init_module', 175, 0, 0, b'')
call('settimeofday', 164, 0, 0)
call('clock_settime', 227, 0, 0)
call('setns', 308, 0, 0)
call('io_uring_setup', 425, 1, 0)
call('syslog', 103, 3, 0, 0)
call('af_alg', 41, 38, 5, 0)
call('af_tipc', 41, 30, 5, 0)
call('af_tipc pair', 53, 30, 5, 0, ctypes.create_string_buffer(8))
call('netlink uevents', 41, 16, 3, 15)
call('sctp', 41, 2, 1, 132)
call('tcp', 41, 10, 1, 6)
call('unknown', 999)";
    let (_, lines) = Dyno::python(script).outcome();
    let expected = [
        "unshare EPERM",
        "mount EPERM",
        "clone EPERM",
        "clone3 ENOSYS",
        "ptrace EPERM",
        "keyctl EPERM",
        "bpf EPERM",
        "init_module EPERM",
        "settimeofday EPERM",
        "clock_settime EPERM",
        "setns EPERM",
        "io_uring_setup EPERM",
        "syslog EPERM",
        "af_alg EAFNOSUPPORT",
        "af_tipc EAFNOSUPPORT",
        "af_tipc pair ENOTSUP",
        "netlink uevents EPROTONOSUPPORT",
        "sctp EPROTONOSUPPORT",
        "tcp ok",
        "unknown ENOSYS",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn real_ordinary_programs_are_not_disturbed_by_the_filter() {
    let script = "
import threading, subprocess, socket, tempfile, multiprocessing, os, mmap, select, asyncio
t = threading.Thread(target=lambda: print('thread', flush=True)); t.start(); t.join()
print(subprocess.check_output(['uname']).decode().strip())
s = socket.socket(socket.AF_INET6); s.close()
os.memfd_create('x'); m = mmap.mmap(-1, 4096); e = select.epoll()
async def main(): await asyncio.sleep(0.01); print('async')
asyncio.run(main())
with multiprocessing.get_context('fork').Pool(2) as p: print(p.map(abs, [-1, -2]))
print(os.sched_getaffinity(0) != set(), os.cpu_count() > 0)";
    let (_, lines) = Dyno::python(script).outcome();
    assert_eq!(lines, ["thread", "Linux", "async", "[1, 2]", "True True"]);
}

#[test]
fn real_devices_are_the_few_and_the_kernels_files_are_closed() {
    check(
        // Some kernels have /proc/kcore, and then the link to it is there; it is masked (below).
        "ls /dev | grep -v kcore | sort | tr '\\n' ' '; echo",
        &["fd full null ptmx pts random shm stderr stdin stdout tty urandom zero "],
    );
    let script = "
echo x > /dev/null; head -c 4 /dev/zero | wc -c; echo y > /dev/shm/f; cat /dev/shm/f
cat /proc/kcore 2>/dev/null | wc -c; (echo 1 > /proc/sys/kernel/hostname) 2>&1 | grep -c 'Read-only'
ls /sys; ls /proc | grep -c '^[0-9]'; cat /proc/1/comm; readlink /proc/1/exe || echo hidden; ls -l /proc/1/fd 2>&1 | grep -c denied";
    let (_, lines) = Dyno::bash(script).outcome();
    assert_eq!(lines[..5], ["4", "y", "0", "1", "devices"], "{lines:?}");
    assert_eq!(lines[6], "init");
    assert_eq!(lines[7..], ["hidden", "1"], "{lines:?}");
}

#[test]
fn real_the_process_limit_holds() {
    let mut dyno = Dyno::python(
        "
import os, time
n = 0
try:
    while n < 100:
        if os.fork() == 0: time.sleep(100)
        n += 1
except BlockingIOError as error:
    print(n, error.errno)",
    );
    dyno.spec.processes_max = 20;
    let (_, lines) = dyno.outcome();
    assert_eq!(lines, ["19 11"], "the command counts too");
}

#[test]
fn real_limits_of_files_and_dumps_are_lowered() {
    let mut ours = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel fills the structure.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut ours) };
    let files = ours.rlim_max.min(10_000).to_string();
    check("ulimit -n; ulimit -Hn; ulimit -c", &[&files, &files, "0"]);
    // Pending signals, and bytes in message queues: root's are shared by all dynos.
    check("ulimit -Hi; ulimit -Hq", &["1024", "65536"]);
    // Watchers of files; the kernel's own limits of a user namespace are beyond counting.
    check("cat /proc/sys/user/max_inotify_instances /proc/sys/user/max_inotify_watches", &["128", "65536"]);
}

#[test]
fn real_orphans_are_reaped() {
    let script = "for i in $(seq 50); do (sleep 0.01 & ) ; done; sleep 0.5; \
                  cat /proc/[0-9]*/stat | grep -c ') Z ' ; for i in $(seq 3); do (exec sleep 0.02 &); done; sleep 0.2; \
                  ls -d /proc/[0-9]* | wc -l";
    let (_, lines) = Dyno::bash(script).outcome();
    assert_eq!(lines[0], "0");
    assert!(lines[1].parse::<u32>().unwrap() <= 5, "{lines:?}");
}

#[test]
fn real_the_network_is_the_one_it_was_given() {
    let dyno = Dyno::bash("readlink /proc/self/ns/net").start();
    dyno.wait_exit();
    let given = fs::read_link(&dyno.spec.netns).unwrap();
    assert_eq!(dyno.lines(), [given.display().to_string()]);
    let supervisor = dyno.state.as_ref().unwrap().supervisor_pid;
    assert_ne!(fs::read_link(format!("/proc/{supervisor}/ns/net")).ok(), Some(given));
}

#[test]
fn real_binds_come_read_only_and_writable() {
    use std::os::unix::fs::chown;
    let mut dyno =
        Dyno::bash("cat /run/renga/secret; touch /run/renga/x 2>&1 | grep -c 'Read-only'; echo out > /out/f");
    for (name, target, read_only) in [("in", "/run/renga", true), ("out", "/out", false)] {
        let source = dyno.temp().join(name);
        fs::create_dir(&source).unwrap();
        chown(&source, Some(UID_BASE + 1000), Some(UID_BASE + 1000)).unwrap();
        dyno.spec.binds.push(renga_supervision::Bind { source, target: target.into(), read_only });
    }
    fs::write(dyno.temp().join("in/secret"), "told\n").unwrap();
    let dyno = dyno.start();
    assert_eq!(dyno.wait_exit().code, 0);
    assert_eq!(dyno.lines(), ["told", "1"]);
    assert_eq!(fs::read_to_string(dyno.temp().join("out/f")).unwrap(), "out\n");
}

#[test]
fn real_secrets_reach_the_command_and_no_file() {
    let mut dyno = Dyno::bash("echo $SECRET_VAR; echo ready; sleep 100");
    dyno.spec.env.insert("SECRET_VAR".into(), renga_model::Secret::new("s3cr3t-value"));
    let dyno = dyno.start();
    dyno.wait_line("ready");
    assert_eq!(dyno.lines()[0], "s3cr3t-value");
    let mut folders = vec![dyno.spec.directory.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("log") {
                folders.push(path);
            } else if path.is_file() {
                assert!(!String::from_utf8_lossy(&fs::read(&path).unwrap()).contains("s3cr3t"), "{path:?}");
            }
        }
    }
}

#[test]
fn real_the_supervisor_is_small_and_charged_to_the_dyno() {
    let asked = Instant::now();
    let dyno = Dyno::bash("date +%s.%N > /app/first; echo ready; sleep 100").start();
    let answered = asked.elapsed();
    dyno.wait_line("ready");
    let state = dyno.state.clone().unwrap();
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", state.supervisor_pid)).unwrap();
    let expected = format!("/{}/supervisor", dyno.spec.cgroup);
    assert!(groups.lines().any(|line| line.ends_with(&expected)), "{groups}");
    let pss = |pid: i32| -> u64 {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    let (supervisor, init) = (pss(state.supervisor_pid), pss(state.init_pid));
    eprintln!("answered after {answered:?}; PSS: supervisor {supervisor} kB, init {init} kB");
    let group = dyno.cgroups("app").into_iter().find(|path| path.join("cgroup.procs").exists()).unwrap();
    let inside = fs::read_to_string(group.join("cgroup.procs")).unwrap();
    assert!(!inside.lines().any(|line| line == state.supervisor_pid.to_string()));
    eventually("the first file", || dyno.app_file("first").exists().then_some(()));
}
