"""Tries to get out of its dyno, and says what came of each attempt.

    web       serves the groups below: GET /GROUP?ARGUMENT&ARGUMENT... gives JSON
    GROUP...  makes the attempts of one group, for a one-off dyno

    identity   who the kernel says we are: ids, capabilities, seccomp, namespaces
    files      /proc, /sys and /dev, and what can be written
    find WORD  files whose name, or processes whose environment, have WORD in them
    read PATH...          files of the host by their paths there
    kernel     system calls that would change the machine, or leave the namespaces
    sockets    kinds of sockets that an app has no use for
    processes PID...      signals and traces to processes of others
    connect HOST:PORT...  TCP, to each; a path is a Unix socket, @name an abstract one
    watches [release]     takes as many watchers of files as it gets, and keeps them
    linger     leaves processes behind that want to outlive the dyno
    can NAME   what an app may do: resolve NAME, bind [::], use /dev/shm, /tmp and its disk

An attempt's outcome is the name of its error, or what it got.
"""

import ctypes
import errno
import http.server
import json
import mmap
import os
import re
import resource
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
import urllib.parse

LIBC = ctypes.CDLL(None, use_errno=True)
CONNECT_SECONDS = 2
MARK = "renga-hostile-lingers"

NAMESPACES = ("mnt", "pid", "ipc", "uts", "net", "cgroup", "user")
CLONE_NEW = {
    "time": 0x80, "mnt": 0x20000, "cgroup": 0x2000000, "uts": 0x4000000,
    "ipc": 0x8000000, "user": 0x10000000, "pid": 0x20000000, "net": 0x40000000,
}  # fmt: skip


def outcome(attempt, *args):
    """What an attempt returned, or the name of its error."""
    try:
        return attempt(*args)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    except subprocess.SubprocessError as error:
        return type(error).__name__


def text(path):
    with open(path, errors="replace") as file:
        return file.read(1 << 20)


# === identity ===


def identity():
    status = dict(line.split(":\t", 1) for line in text("/proc/self/status").splitlines() if ":\t" in line)
    names = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Uid", "Gid", "Groups")
    return {
        **{name: status[name].split() for name in names},
        "uid_map": text("/proc/self/uid_map").split(),
        "gid_map": text("/proc/self/gid_map").split(),
        "namespaces": {name: os.readlink(f"/proc/self/ns/{name}") for name in NAMESPACES},
        "pids": sorted(int(name) for name in os.listdir("/proc") if name.isdigit()),
        "core_bytes_max": resource.getrlimit(resource.RLIMIT_CORE)[1],
        "interfaces": [name for _, name in socket.if_nameindex()],
    }


# === files ===

SECRETIVE = (
    "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug",
    "/proc/scsi", "/proc/timer_list", "/proc/kmsg", "/proc/kallsyms", "/proc/sysrq-trigger", "/proc/1/environ", "/proc/1/mem", "/proc/1/maps",
    "/proc/vmallocinfo", "/proc/slabinfo", "/proc/kpagecount", "/proc/pagetypeinfo",
    "/sys/firmware", "/sys/devices/virtual/powercap", "/sys/devices/system/cpu/vulnerabilities", "/sys/kernel", "/sys/class",
)  # fmt: skip
GUARDED = (
    "/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sys/vm/drop_caches",
    "/proc/sys/net/ipv4/ip_forward", "/proc/sys/user/max_user_namespaces", "/proc/irq/default_smp_affinity", "/proc/1/mem", "/proc/1/oom_score_adj",
    "/sys/fs/cgroup/x", "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/usr/bin/env", "/usr/lib/x", "/bin/sh", "/etc/passwd", "/etc/ld.so.preload",
    "/etc/resolv.conf", "/etc/hosts", "/root/x", "/x", "/dev/x",
)  # fmt: skip


def files():
    return {
        "secretive": {path: seen(path) for path in SECRETIVE},
        "guarded": {path: outcome(write, path) for path in GUARDED},
        "links": {path: outcome(os.readlink, path) for path in ("/proc/1/exe", "/proc/1/root", "/proc/1/cwd")},
        "init": text("/proc/1/cmdline").split("\0")[:-1],
        "oom_score_adj": outcome(write, "/proc/self/oom_score_adj", b"-1000"),
        "dev": devices(),
        "sys": sorted(os.path.join(at, name) for at in ("/sys", "/sys/devices", "/sys/devices/system") for name in os.listdir(at)),
        "mounts": [line.split()[1:4] for line in text("/proc/self/mounts").splitlines()],
    }


def seen(path):
    """Nothing, an error, or how much there is to be seen."""
    if os.path.isdir(path):
        return len(os.listdir(path))

    def read():
        with open(path, "rb") as file:
            content = file.read(4096)
            # Addresses without meaning are no secret.
            return len(re.sub(rb"(?m)^0+ .*$", b"", content).strip() if "kallsyms" in path else content)

    return outcome(read)


def write(path, content=b"1"):
    descriptor = os.open(path, os.O_WRONLY | (os.O_CREAT if path.endswith("/x") else 0))
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)
    return "written"


def devices():
    found = {}
    for at, _, names in os.walk("/dev"):
        for name in names:
            path = os.path.join(at, name)
            mode = os.lstat(path)
            if stat.S_ISLNK(mode.st_mode):
                found[path] = os.readlink(path)
            elif stat.S_ISCHR(mode.st_mode) or stat.S_ISBLK(mode.st_mode):
                found[path] = f"{os.major(mode.st_rdev)}:{os.minor(mode.st_rdev)}"
            else:
                found[path] = "file"
    return found


def find(word):
    """By name in the whole tree, by content in environments and command lines, and in the table of mounts."""
    found = []
    for at, folders, names in os.walk("/", onerror=lambda _: None):
        folders[:] = [name for name in folders if os.path.join(at, name) not in ("/proc", "/usr")]
        found += [os.path.join(at, name) for name in names + folders if word in name]
    for pid in os.listdir("/proc"):
        for name in ("environ", "cmdline", "mounts") if pid.isdigit() and int(pid) != os.getpid() else ():
            content = outcome(text, f"/proc/{pid}/{name}")
            found += [f"/proc/{pid}/{name}"] if word in content else []
    return found


def read(*paths):
    return {path: outcome(lambda: len(text(path)) if not os.path.isdir(path) else os.listdir(path)) for path in paths}


# === the kernel ===

X86_64 = {
    "acct": 163, "add_key": 248, "adjtimex": 159, "bpf": 321, "chroot": 161, "clock_adjtime": 305, "clock_settime": 227, "clone3": 435,
    "delete_module": 176, "fanotify_init": 300, "finit_module": 313, "fsconfig": 431, "fsmount": 432, "fsopen": 430, "fspick": 433,
    "init_module": 175, "io_uring_enter": 426, "io_uring_register": 427, "io_uring_setup": 425, "ioperm": 173, "iopl": 172, "kcmp": 312,
    "kexec_file_load": 320, "kexec_load": 246, "keyctl": 250, "migrate_pages": 256, "mount": 165, "mount_setattr": 442, "move_mount": 429,
    "move_pages": 279, "open_by_handle_at": 304, "open_tree": 428, "perf_event_open": 298, "pidfd_getfd": 438, "pivot_root": 155,
    "process_madvise": 440, "process_vm_readv": 310, "process_vm_writev": 311, "ptrace": 101, "quotactl": 179, "quotactl_fd": 443,
    "reboot": 169, "request_key": 249, "setdomainname": 171, "sethostname": 170, "setns": 308, "settimeofday": 164, "swapoff": 168,
    "swapon": 167, "syslog": 103, "umount2": 166, "unshare": 272, "userfaultfd": 323, "vhangup": 153,
}  # fmt: skip
AARCH64 = {
    "acct": 89, "add_key": 217, "adjtimex": 171, "bpf": 280, "chroot": 51, "clock_adjtime": 266, "clock_settime": 112, "clone3": 435,
    "delete_module": 106, "fanotify_init": 262, "finit_module": 273, "init_module": 105, "io_uring_setup": 425, "kexec_load": 104,
    "keyctl": 219, "mount": 40, "open_by_handle_at": 265, "perf_event_open": 241, "pivot_root": 41, "process_vm_readv": 270, "ptrace": 117,
    "reboot": 142, "request_key": 218, "setdomainname": 162, "sethostname": 161, "setns": 268, "settimeofday": 170, "swapon": 224,
    "syslog": 116, "umount2": 39, "unshare": 97, "userfaultfd": 282,
}  # fmt: skip
NUMBERS = AARCH64 if os.uname().machine == "aarch64" else X86_64


def call(name, *args):
    """A system call by its number; arguments that a filter may look at are given, the rest is 0."""
    padded = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args] + [ctypes.c_long(0)] * (6 - len(args))
    ctypes.set_errno(0)
    result = LIBC.syscall(ctypes.c_long(NUMBERS[name]), *padded)
    return errno.errorcode[ctypes.get_errno()] if result == -1 else f"returned {result}"


def kernel():
    # With arguments that would succeed, or fail otherwise, were it allowed.
    zeroed = ctypes.create_string_buffer(512)
    given = {
        "adjtimex": (set_clock_request(),),
        "clock_adjtime": (0, set_clock_request()),
        "bpf": (0, zeroed, 72),
        "clone3": (zeroed, 88),
        "chroot": (b"/tmp",),
        "fsopen": (b"tmpfs", 0),
        "init_module": (zeroed, 512, b""),
        "io_uring_setup": (8, zeroed),
        "kcmp": (1, os.getpid(), 0, 0, 0),
        "keyctl": (0, -3, 1),
        "add_key": (b"user", b"x", b"y", 1, -4),
        "mount": (b"tmpfs", b"/tmp", b"tmpfs", 0, 0),
        "open_tree": (-100, b"/", 1),
        "perf_event_open": (zeroed, 0, -1, -1, 0),
        "pivot_root": (b"/", b"/tmp"),
        "ptrace": (16, 1),
        "reboot": (0xFEE1DEAD, 672274793, 0x89ABCDEF),
        "sethostname": (b"mine", 4),
        "syslog": (3, zeroed, 512),
        "umount2": (b"/dev/shm", 2),
        "userfaultfd": (1,),
    }
    results = {name: call(name, *given.get(name, ())) for name in NUMBERS if name != "unshare"}
    for name, flag in CLONE_NEW.items():
        results[f"unshare {name}"] = call("unshare", flag)
        # Time namespaces can't be asked of `clone`: the bit is part of the signal there.
        if name != "time":
            results[f"clone {name}"] = in_child(lambda flag=flag: clone(flag))
    return {**results, **privileges(), **foreign_calls()}


def set_clock_request():
    """`struct timex` that sets the frequency."""
    return ctypes.create_string_buffer(struct.pack("<I4xqq", 0x0002, 0, 0).ljust(256, b"\0"))


def clone(flag):
    number = 220 if NUMBERS is AARCH64 else 56
    ctypes.set_errno(0)
    result = LIBC.syscall(ctypes.c_long(number), ctypes.c_long(flag | signal.SIGCHLD), *[ctypes.c_long(0)] * 4)
    if result == 0:
        os._exit(0)
    return errno.errorcode[ctypes.get_errno()] if result == -1 else "cloned"


def privileges():
    def priority():
        os.setpriority(os.PRIO_PROCESS, 0, -5)
        return "raised"

    def realtime():
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        return "realtime"

    def more_files():
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard + 1, hard + 1))
        except ValueError:
            return "EPERM"
        return "raised"

    def setuid_program():
        """A program that the stack has with the set-uid bit: who it thinks it runs for."""
        return subprocess.run(["su", "-c", "id -u"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10).stdout.strip()

    return {
        "setuid": outcome(os.setuid, 0),
        "setgid": outcome(os.setgid, 0),
        "setgroups": outcome(os.setgroups, [0]),
        "mknod": outcome(os.mknod, "/tmp/sda", 0o600 | stat.S_IFBLK, os.makedev(8, 0)),
        "chown": outcome(os.chown, sys.argv[0], 0, 0),
        "priority": outcome(priority),
        "realtime": outcome(realtime),
        "open files": outcome(more_files),
        "su": outcome(setuid_program),
        "settime": outcome(lambda: time.clock_settime(time.CLOCK_REALTIME, time.time())),
    }


def foreign_calls():
    """The machine's other ways to call the kernel (32 bits, x32), past a filter that knows only the usual one."""
    if os.uname().machine != "x86_64":
        return {}
    # getpid: mov eax, 20; int 0x80; ret, and the same by the x32 number.
    return {
        "int 0x80": in_child(lambda: machine_code(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")),
        "x32": in_child(lambda: machine_code(b"\xb8\x27\x00\x00\x40\x0f\x05\xc3")),
    }


def machine_code(code):
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    result = function()
    return errno.errorcode.get(-result, "unknown") if result < 0 else "returned"


def in_child(attempt):
    """In a process of its own: what it gives as text, or the signal that ended it."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(into, str(outcome(attempt)).encode())
        os._exit(0)
    os.close(into)
    with os.fdopen(out) as pipe:
        said = pipe.read()
    _, status = os.waitpid(pid, 0)
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else said


# === sockets ===


def sockets():
    inet, packet, netlink = socket.AF_INET, socket.AF_PACKET, socket.AF_NETLINK
    kinds = {
        "tcp": (inet, socket.SOCK_STREAM, 0),
        "udp6": (socket.AF_INET6, socket.SOCK_DGRAM, socket.IPPROTO_UDP),
        "unix": (socket.AF_UNIX, socket.SOCK_STREAM, 0),
        "multipath tcp": (inet, socket.SOCK_STREAM, 262),
        "netlink route": (netlink, socket.SOCK_RAW, 0),
        "raw icmp": (inet, socket.SOCK_RAW, socket.IPPROTO_ICMP),
        "raw ip": (inet, socket.SOCK_RAW, socket.IPPROTO_RAW),
        "raw icmp6": (socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6),
        "packet": (packet, socket.SOCK_RAW, 0x300),
        "sctp": (inet, socket.SOCK_STREAM, 132),
        "dccp": (inet, 6, 33),
        "udp-lite": (inet, socket.SOCK_DGRAM, 136),
        "netlink uevents": (netlink, socket.SOCK_RAW, 15),
        "netlink audit": (netlink, socket.SOCK_RAW, 9),
        "netlink netfilter": (netlink, socket.SOCK_RAW, 12),
        "netlink generic": (netlink, socket.SOCK_RAW, 16),
    }
    families = {f"family {number}": (number, socket.SOCK_DGRAM, 0) for number in range(3, 46) if number not in (10, 16, 17)}
    return {name: outcome(lambda kind=kind: socket.socket(*kind).close() or "made") for name, kind in {**kinds, **families}.items()}


# === processes and connections ===


def processes(*pids):
    def trace(pid):
        return in_child(lambda: call("ptrace", 16, pid))

    def watch(pid):
        os.close(os.pidfd_open(pid))
        return "opened"

    def kill(pid):
        os.kill(pid, signal.SIGKILL)
        return "sent"

    attempts = {"kill": kill, "pidfd": watch, "ptrace": trace, "memory": lambda pid: text(f"/proc/{pid}/environ")}
    return {f"{name} {pid}": outcome(attempt, int(pid)) for pid in pids for name, attempt in attempts.items()}


def connect(*targets):
    results = {}

    def one(target):
        results[target] = outcome(reach, target)

    threads = [threading.Thread(target=one, args=(target,)) for target in targets]
    for step in (threading.Thread.start, threading.Thread.join):
        for thread in threads:
            step(thread)
    return results


def reach(target):
    if target.startswith(("/", "@")):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(target.replace("@", "\0"))
            return "connected"
    host, _, port = target.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as client:
        client.settimeout(CONNECT_SECONDS)
        try:
            client.connect(socket.getaddrinfo(host, int(port), family)[0][4])
        except TimeoutError:
            return "timeout"
        return "connected"


# === what all share ===

kept = []


def watches(what="take"):
    """How many instances we have, and why no more."""
    if what == "release":
        while kept:
            os.close(kept.pop())
        return 0, None
    while (descriptor := LIBC.inotify_init()) >= 0:
        kept.append(descriptor)
    return len(kept), errno.errorcode[ctypes.get_errno()]


# === what wants to stay ===


def linger():
    """A daemon in the classic manner, one in a session of its own, and one that only ignores signals."""
    script = f"import signal, time; [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]; print('ready', flush=True); time.sleep(3600); '{MARK}'"
    for double_fork in (True, False):
        ready, into = os.pipe()
        if (pid := os.fork()) == 0:
            os.setsid()
            if double_fork and os.fork():
                os._exit(0)
            os.dup2(into, 1)
            os.chdir("/")
            os.execvp(sys.executable, [sys.executable, "-c", script])
        if double_fork:
            os.waitpid(pid, 0)
        os.close(into)
        with os.fdopen(ready) as pipe:
            pipe.readline()
    nohup = subprocess.Popen(["nohup", sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    nohup.stdout.readline()
    return "three are left"


# === what is allowed ===


def can(name="localhost"):
    def both_families():
        with socket.create_server(("::", 7777), family=socket.AF_INET6, dualstack_ipv6=True):
            for host in ("127.0.0.1", "::1"):
                socket.create_connection((host, 7777), 2).close()
        return "both"

    def keep(path):
        with open(path, "w+b") as file:
            file.write(bytes(1 << 20))
        os.unlink(path)
        return "kept"

    return {
        "resolve": outcome(lambda: sorted({entry[4][0] for entry in socket.getaddrinfo(name, 80, socket.AF_INET)})),
        "bind": outcome(both_families),
        **{path: outcome(keep, f"{path}/kept") for path in ("/dev/shm", "/tmp", "/app", os.environ.get("HOME", "/app"))},
        "disk": outcome(beyond_the_disk),
        "children": subprocess.run(["sh", "-c", "echo fine"], capture_output=True, text=True).stdout.strip(),
    }


def beyond_the_disk():
    """Asks for more than the quota at once: what the disk has in MiB, and the answer."""
    disk = os.statvfs("/tmp")
    total = disk.f_blocks * disk.f_frsize
    with open("/tmp/large", "wb") as file:
        try:
            return total >> 20, outcome(os.posix_fallocate, file.fileno(), 0, total + (1 << 20)) or "given"
        finally:
            os.unlink("/tmp/large")


# === serving ===

GROUPS = {f.__name__: f for f in (identity, files, find, read, kernel, sockets, processes, connect, watches, linger, can)}


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path, _, query = self.path.partition("?")
        group = GROUPS.get(path.strip("/"))
        arguments = [urllib.parse.unquote(word) for word in query.split("&") if word]
        body = json.dumps(group(*arguments) if group else "hostile").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True


def main():
    what, *arguments = sys.argv[1:]
    if what == "web":
        with Server(("::", int(os.environ["PORT"])), Page) as server:
            server.serve_forever()
    print(json.dumps(GROUPS[what](*arguments)), flush=True)
    if what == "linger":
        # Until somebody ends this process, so that those it leaves can be counted before.
        signal.pause()


if __name__ == "__main__":
    main()
