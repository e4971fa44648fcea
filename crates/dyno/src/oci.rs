//! From the supervisor's spec to the container library's configuration. It holds no secret: the command and its
//! environment stay in memory (see `init`), so the file may lie on a disk.

use std::path::Path;

use renga_supervision::{Bind, INOTIFY_INSTANCES_MAX, INOTIFY_WATCHES_MAX, SupervisorSpec};
use serde_json::{Map, Value, json};

use crate::{cgroup::Cgroup, seccomp};

const MASKED: [&str; 13] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/devices/system/cpu/vulnerabilities",
    "/sys/firmware",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
/// What runtimes look at to count cores. The rest of `/sys` would tell of the host and of other dynos.
const CPU_FACTS: &str = "/sys/devices/system/cpu";

const SIGNALS_PENDING_MAX: u64 = 1024;
const MESSAGE_QUEUE_BYTES_MAX: u64 = 64 * 1024;

/// `hard_open_files` is the limit that this process has: it may be lowered, never raised.
pub(crate) fn config(spec: &SupervisorSpec, cgroup: &Cgroup, hard_open_files: u64) -> Value {
    let files = spec.open_files_max.min(hard_open_files);
    let none: [&str; 0] = [];
    json!({
        "ociVersion": "1.0.2",
        "hostname": spec.hostname,
        "root": { "path": spec.rootfs, "readonly": false },
        "process": {
            "terminal": spec.tty.is_some(),
            "user": { "uid": spec.uid, "gid": spec.gid },
            "args": ["init"],
            // The command's own comes from memory. A HOME keeps the library from asking the stack's user database.
            "env": ["PATH=/usr/bin:/bin", "HOME=/"],
            "cwd": spec.cwd,
            "noNewPrivileges": true,
            "capabilities": {
                "bounding": none, "effective": none, "inheritable": none, "permitted": none, "ambient": none
            },
            "rlimits": [
                { "type": "RLIMIT_NOFILE", "soft": files, "hard": files },
                // A dump would fill the dyno's disk, or go to whatever the host does with dumps.
                { "type": "RLIMIT_CORE", "soft": 0, "hard": 0 },
                // All dynos together can have what root may have of these two, so one of them gets a small part.
                { "type": "RLIMIT_SIGPENDING", "soft": SIGNALS_PENDING_MAX, "hard": SIGNALS_PENDING_MAX },
                { "type": "RLIMIT_MSGQUEUE", "soft": MESSAGE_QUEUE_BYTES_MAX, "hard": MESSAGE_QUEUE_BYTES_MAX },
            ],
        },
        "mounts": mounts(spec),
        "linux": {
            "uidMappings": [{ "containerID": 0, "hostID": spec.uid_base, "size": spec.uid_count }],
            "gidMappings": [{ "containerID": 0, "hostID": spec.uid_base, "size": spec.uid_count }],
            // The network namespace is entered by the supervisor: inside the user namespace it could not be.
            "namespaces": [
                { "type": "user" }, { "type": "pid" }, { "type": "ipc" }, { "type": "uts" },
                { "type": "mount" }, { "type": "cgroup" }
            ],
            "cgroupsPath": format!("/{}", cgroup.app()),
            "sysctl": watch_limits(),
            "resources": resources(spec, cgroup),
            "maskedPaths": MASKED,
            "readonlyPaths": READ_ONLY,
            "seccomp": seccomp::profile(),
        }
    })
}

/// Of the dyno's own user namespace, in the kernels that count so.
fn watch_limits() -> Value {
    let limits = [("inotify_instances", INOTIFY_INSTANCES_MAX), ("inotify_watches", INOTIFY_WATCHES_MAX)];
    let known =
        limits.iter().filter(|(name, _)| Path::new("/proc/sys/user").join(format!("max_{name}")).exists());
    known
        .map(|(name, max)| (format!("user.max_{name}"), json!(max.to_string())))
        .collect::<Map<_, _>>()
        .into()
}

fn resources(spec: &SupervisorSpec, cgroup: &Cgroup) -> Value {
    let mut memory = json!({ "limit": spec.memory_hard_bytes });
    if cgroup.counts_swap() {
        memory["swap"] = json!(spec.memory_hard_bytes);
    }
    json!({
        "memory": memory,
        // The init is ours, not the dyno's.
        "pids": { "limit": spec.processes_max + 1 },
        "devices": [{ "allow": false, "access": "rwm" }],
    })
}

fn mounts(spec: &SupervisorSpec) -> Vec<Value> {
    // The quota is half of the hard limit; shared memory counts against it.
    let shm = format!("size={}", spec.memory_hard_bytes / 2);
    let mut mounts = vec![
        json!({ "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] }),
        json!({ "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] }),
        json!({ "destination": "/dev/pts", "type": "devpts", "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"] }),
        json!({ "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
                "options": ["nosuid", "noexec", "nodev", "mode=1777", shm] }),
    ];
    if Path::new(CPU_FACTS).is_dir() {
        mounts.push(json!({ "destination": CPU_FACTS, "type": "bind", "source": CPU_FACTS,
            "options": ["bind", "ro", "nosuid", "noexec", "nodev"] }));
    }
    mounts.extend(spec.binds.iter().map(bind));
    mounts
}

fn bind(bind: &Bind) -> Value {
    let mut options = vec!["bind", "nosuid", "nodev"];
    if bind.read_only {
        options.push("ro");
    }
    json!({ "destination": bind.target, "type": "bind", "source": bind.source, "options": options })
}
