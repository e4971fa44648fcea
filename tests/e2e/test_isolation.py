"""A hostile app beside a victim: every attempt is made from inside a real dyno, and what it looks for is there on the host.

Both run `examples/hostile`, whose page for a group of attempts answers with what came of each.
"""

import concurrent.futures
import contextlib
import functools
import hashlib
import ipaddress
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import urllib.parse

from machine import Ledger
from platform_under_test import RENGA, Platform, wait_for

NAMESPACES = ("mnt", "pid", "ipc", "uts", "net", "cgroup", "user")
SECRET = "the-victims-own-word"
SECRET_FILE = "victims-papers.txt"
MARK = b"renga-hostile-lingers"
# A network of this machine's with one address that apps may reach, one that they may not, and one of the world's.
LAN, ALLOWED, FORBIDDEN, WORLD = "10.254.253.1", "10.254.253.2", "10.254.253.3", "203.0.113.77"
WORLD_6 = "fd77:7e57::2"
METADATA = ("169.254.169.254:80", "[::ffff:169.254.169.254]:80", "[fd00:ec2::254]:80", "100.100.100.200:80")
DEVICES = {
    "null": "1:3", "zero": "1:5", "full": "1:7", "random": "1:8", "urandom": "1:9", "tty": "5:0", "ptmx": "pts/ptmx", "pts/ptmx": "5:2",
    "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
}  # fmt: skip
REFUSED = {"ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "EADDRNOTAVAIL", "timeout"}


def test_a_hostile_app_gets_nowhere():
    platform = Platform()
    # Open to every network, so that only the fence is between them and a dyno.
    platform.ports = [word.replace("127.0.0.1", "*") for word in platform.ports]
    config = platform.home / "renga.toml"
    config.write_text(f'[network]\nallow = ["{ALLOWED}/32"]\n')
    platform.flags += ["--config", config]
    with neighbourhood() as port, platform:
        victim, hostile = deploy(platform)
        stories = [identity, files, secrets, kernel, sockets, processes, own_port, watchers, allowed, lingering, terminal, examined]
        stories = [functools.partial(network, port), *stories]
        for story in stories:
            begun = time.monotonic()
            story(platform, victim, hostile)
            print(f"    {getattr(story, '__name__', 'network')}: {time.monotonic() - begun:.1f} s", flush=True)


class Dyno:
    """A web dyno, from both sides."""

    def __init__(self, platform, name):
        self.platform, self.name = platform, name
        self.id, _ = Ledger(platform).dynos(name)["web.1"]
        self.folder = platform.data / "node/dynos" / self.id
        self.address = json.loads((self.folder / "plan.json").read_text())["address"]
        state = json.loads((self.folder / "state.json").read_text())
        self.init, self.supervisor = state["init_pid"], state["supervisor_pid"]

    def tries(self, group, *arguments):
        status, body = self.platform.get(self.name, f"/{group}?" + "&".join(urllib.parse.quote(str(word)) for word in arguments))
        assert status == 200, (group, status, body)
        return json.loads(body)


def deploy(platform):
    def one(name):
        repository = platform.repository("hostile", f"repository-{name}")
        if name == "victim":
            (repository / SECRET_FILE).write_text(SECRET)
            platform.commit(repository, "Papers")
        status, said = platform.api("POST", "/apps", {"name": name})
        assert status == 201, said
        if name == "victim":
            status, said = platform.api("PATCH", f"/apps/{name}/config-vars", {"SECRET": SECRET})
            assert status == 200, said
        platform.git("push", platform.git_url(name), "HEAD:refs/heads/main", cwd=repository).ends()
        wait_for(f"the page of {name}", 30, lambda: platform.get(name)[0] == 200)
        return Dyno(platform, name)

    with concurrent.futures.ThreadPoolExecutor(2) as both:
        return list(both.map(one, ("victim", "hostile")))


# === who it is ===


def identity(_, victim, hostile):
    seen = {dyno.name: dyno.tries("identity") for dyno in (victim, hostile)}
    for dyno in (victim, hostile):
        it = seen[dyno.name]
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(it[name][0], 16) == 0, (name, it)
        assert (it["NoNewPrivs"], it["Seccomp"], it["core_bytes_max"]) == (["1"], ["2"], 0), it
        assert set(it["Uid"] + it["Gid"]) == {"1000"} and not it["Groups"], it
        assert it["interfaces"] == ["lo", "eth0"], it
        # The init, the command, and nobody else's.
        assert it["pids"] == [1, 2], it
    # What a dyno says of itself is what the host sees, and nothing is shared.
    hosts = {name: os.readlink(f"/proc/self/ns/{name}") for name in NAMESPACES}
    for name in NAMESPACES:
        three = {hosts[name], *(os.readlink(f"/proc/{dyno.init}/ns/{name}") for dyno in (victim, hostile))}
        assert len(three) == 3, (name, three)
        assert seen["hostile"]["namespaces"][name] in three - {hosts[name]}, name
    ranges = []
    for dyno in (victim, hostile):
        for kind in ("uid_map", "gid_map"):
            inside, outside, count = (int(word) for word in pathlib.Path(f"/proc/{dyno.init}/{kind}").read_text().split())
            assert (inside, count) == (0, 65_536) and outside >= 100_000, (kind, outside, count)
        ranges.append(range(outside, outside + count))
    assert not (set(ranges[0]) & set(ranges[1])), ranges


# === files ===


def files(platform, _, hostile):
    before = fingerprints(platform)
    it = hostile.tries("files")
    for path, outcome in it["secretive"].items():
        assert outcome in (0, "ENOENT", "EACCES", "EPERM"), (path, outcome)
    assert pathlib.Path("/proc/interrupts").read_text() and pathlib.Path("/proc/timer_list").exists()
    for path, outcome in it["guarded"].items():
        assert outcome in ("EACCES", "EPERM", "EROFS", "ENOENT"), (path, outcome)
    assert set(it["links"].values()) == {"EACCES"}, it["links"]
    assert it["oom_score_adj"] == "EACCES"
    devices = without_kcore(it["dev"])
    assert devices == {f"/dev/{name}": what for name, what in DEVICES.items()}, devices
    assert it["sys"] == ["/sys/devices", "/sys/devices/system", "/sys/devices/system/cpu", "/sys/fs"], it["sys"]
    kinds = {kind for _, kind, _ in it["mounts"]}
    assert kinds <= {"overlay", "proc", "tmpfs", "devpts", "sysfs", "devtmpfs", "ext4", "erofs", "xfs", "btrfs"}, kinds
    # What it did to its own copy is in no layer and not in the stack.
    assert fingerprints(platform) == before


def without_kcore(devices):
    """It is a link, there where the kernel has the file, which is masked."""
    return {path: what for path, what in devices.items() if (path, what) != ("/dev/kcore", "/proc/kcore")}


def fingerprints(platform):
    """Of every layer by its content; of the stack, which is large, by its times."""
    layers = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (platform.data / "node/layers").glob("*.erofs")}
    assert layers and all(name.startswith(digest) for name, digest in layers.items()), layers
    images = pathlib.Path("/var/cache/renga/stacks").glob("*.erofs")
    return layers, {path.name: (path.stat().st_size, path.stat().st_mtime_ns) for path in images}


def secrets(platform, victim, hostile):
    """The victim finds its own: what is looked for can be found."""
    assert victim.tries("find", SECRET_FILE) == [f"/app/{SECRET_FILE}"]
    assert hostile.tries("find", SECRET_FILE) == []
    assert SECRET in pathlib.Path(f"/proc/{child_of(victim)}/environ").read_text()
    assert hostile.tries("find", SECRET) == []
    data = platform.data
    paths = [data, data / "ledger/ledger.db", data / "secrets/token", data / "git", data / "logs", data / "node/layers", victim.folder, hostile.folder]
    assert all(path.exists() for path in paths), paths
    assert set(hostile.tries("read", *paths).values()) == {"ENOENT"}
    assert hostile.tries("read", "/etc/shadow", "/root")["/etc/shadow"] == "EACCES"


def child_of(dyno):
    return pathlib.Path(f"/proc/{dyno.init}/task/{dyno.init}/children").read_text().split()[0]


# === the kernel ===


def kernel(_, __, hostile):
    for name, outcome in hostile.tries("kernel").items():
        wanted = {"clone3": "ENOSYS", "priority": "EACCES", "int 0x80": "SIGSYS", "x32": "SIGSYS", "su": ""}.get(name, "EPERM")
        assert outcome == wanted, (name, outcome)


def sockets(_, __, hostile):
    made = {"tcp", "udp6", "unix", "multipath tcp", "netlink route"}
    for name, outcome in hostile.tries("sockets").items():
        assert (outcome == "made") == (name in made), (name, outcome)
        assert outcome in ("made", "EPERM", "EAFNOSUPPORT", "EPROTONOSUPPORT", "ENOSYS", "ESOCKTNOSUPPORT"), (name, outcome)


def processes(_, victim, hostile):
    others = [victim.init, victim.supervisor, hostile.supervisor, os.getpid(), int(child_of(victim))]
    assert all(pid > 100 and os.path.exists(f"/proc/{pid}") for pid in others), others
    for name, outcome in hostile.tries("processes", *others).items():
        # Without a number there is nobody to ask about; tracing isn't even looked at.
        assert outcome == ("EPERM" if name.startswith("ptrace") else "ENOENT" if name.startswith("memory") else "ESRCH"), (name, outcome)
    assert hostile.tries("processes", 1) == {"kill 1": "sent", "pidfd 1": "opened", "ptrace 1": "EPERM", "memory 1": "EACCES"}
    assert Dyno(hostile.platform, "hostile").init == hostile.init, "it ended itself"


# === the network ===


def network(port, platform, victim, hostile):
    addresses = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True).stdout.split()
    hosts = [word for word in addresses if ":" not in word]
    gateway = str(ipaddress.ip_network(json.loads((platform.data / "instance.json").read_text())["subnet"])[1])
    ports = [int(word.rpartition(":")[2]) for word in platform.ports if ":" in word]
    ours = [f"{host}:{number}" for host in {gateway, *hosts, "[::ffff:%s]" % gateway} for number in ports]
    dynos = [f"{victim.address}:5000", f"[::ffff:{victim.address}]:5000"]
    beyond = [f"{FORBIDDEN}:{port}", f"[{WORLD_6}]:{port}"]
    for target in ours + dynos + beyond + [f"{ALLOWED}:{port}", f"{WORLD}:{port}"]:
        host, _, number = target.rpartition(":")
        wait_for(f"{target} to answer us", 5, functools.partial(answers, host.strip("[]"), int(number)))

    abstract = socket.socket(socket.AF_UNIX)
    with contextlib.closing(abstract):
        name = f"renga-e2e-{os.getpid()}"
        abstract.bind(f"\0{name}")
        abstract.listen()
        folders = ("run", "node/run", "node/dynos/*", "router")
        paths = [str(path) for folder in folders for path in platform.data.glob(f"{folder}/*") if path.is_socket()]
        assert any(path.endswith("node.sock") for path in paths) and any("router" in path for path in paths), paths
        inside = [f"{host}:{number}" for host in ("127.0.0.1", "[::1]") for number in ports]
        reached = hostile.tries("connect", *ours, *dynos, *beyond, *METADATA, *inside, *paths, f"@{name}", "@", f"{ALLOWED}:{port}", f"{WORLD}:{port}")
    assert {reached.pop(f"{ALLOWED}:{port}"), reached.pop(f"{WORLD}:{port}")} == {"connected"}, reached
    for target, outcome in reached.items():
        assert outcome == "ENOENT" if target.startswith("/") else outcome in REFUSED, (target, outcome)
    # Refused by our rule: without it, the question would have left for the world.
    assert reached[METADATA[0]] == reached[METADATA[1]] == "ECONNREFUSED", reached


def answers(host, port):
    with contextlib.suppress(OSError), socket.create_connection((host, port), 5):
        return True


@contextlib.contextmanager
def neighbourhood():
    """A network namespace behind a pair of interfaces, where somebody listens on every address; gives the port."""
    name, outer, inner = f"renga-e2e-{os.getpid()}", f"re{os.getpid() % 10**6}o", f"re{os.getpid() % 10**6}i"

    def ip(*words):
        subprocess.run(["ip", *words], check=True)

    def inside(*words):
        subprocess.run(["ip", "-n", name, *words], check=True)

    listener = None
    try:
        ip("netns", "add", name)
        ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", name)
        for address in (f"{LAN}/29", "203.0.113.78/30", "fd77:7e57::1/64"):
            ip("address", "add", address, "dev", outer, *(["nodad"] if ":" in address else []))
        ip("link", "set", outer, "up")
        for address in (f"{ALLOWED}/29", f"{FORBIDDEN}/29", f"{WORLD}/30", f"{WORLD_6}/64"):
            inside("address", "add", address, "dev", inner, *(["nodad"] if ":" in address else []))
        inside("link", "set", inner, "up")
        script = (
            "import socket; s = socket.create_server(('::', 0), family=socket.AF_INET6, dualstack_ipv6=True)\n"
            "print(s.getsockname()[1], flush=True)\nwhile True: s.accept()[0].close()"
        )
        command = ["nsenter", f"--net=/run/netns/{name}", "python3", "-c", script]
        listener = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        yield int(listener.stdout.readline())
    finally:
        if listener:
            listener.kill()
            listener.wait()
        subprocess.run(["ip", "link", "delete", outer], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def own_port(_, victim, hostile):
    """Both listen on the same port, each at an address of its own."""
    answers = [(dyno.address, socket.create_connection((dyno.address, 5000), 5)) for dyno in (victim, hostile)]
    for _, connection in answers:
        connection.close()
    assert victim.address != hostile.address


# === what all share, and what is left ===


def watchers(_, victim, hostile):
    number, error = hostile.tries("watches")
    assert error == "EMFILE" and number <= 128, (number, error)
    theirs, _ = victim.tries("watches")
    hostile.tries("watches", "release")
    victim.tries("watches", "release")
    assert theirs == number, "one dyno's watches are another's loss"


def allowed(_, __, hostile):
    it = hostile.tries("can", "localhost")
    disk = it.pop("disk")
    assert disk[1] == "ENOSPC" and 1500 < disk[0] <= 2048, disk
    assert it == {"resolve": ["127.0.0.1"], "bind": "both", "/dev/shm": "kept", "/tmp": "kept", "/app": "kept", "children": "fine"}, it


def lingering(platform, _, __):
    status, dyno = platform.api("POST", "/apps/hostile/dynos", {"command": "exec python3 bin/hostile.py linger", "attach": False})
    assert status == 201, dyno
    wait_for("three that linger and ignore SIGTERM", 20, lambda: [ignores(pid, signal.SIGTERM) for pid in lingerers()] == [True] * 3)
    [command] = running(b"bin/hostile.py\0linger")
    os.kill(command, signal.SIGKILL)
    wait_for("none that lingers", 10, lambda: not lingerers())
    gone = lambda: dyno["name"] not in [row["name"] for row in platform.api("GET", "/apps/hostile/dynos")[1]]  # noqa: E731
    wait_for("the one-off to be gone", 20, gone)


def lingerers():
    return running(MARK)


def ignores(pid, number):
    with contextlib.suppress(OSError):
        mask = re.search(r"^SigIgn:\s*(\w+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M).group(1)
        return bool(int(mask, 16) >> (number - 1) & 1)


def running(word):
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                found += [int(entry.name)] if word in (entry / "cmdline").read_bytes() else []
    return found


def terminal(platform, _, __):
    """An attached dyno has its terminal and nothing else besides."""
    command = "'import sys; sys.path.insert(0, \"bin\"); import hostile, json; print(\"dev\", json.dumps(hostile.devices()), \"end\")'"
    run = platform.terminal(RENGA, "run", "-a", "hostile", f"python3 -c {command}")
    said = run.until(r"dev \{[^}]*\} end")
    run.ends(0)
    seen = json.loads(re.search(r"dev (\{.*?\}) end", said.replace("\r\n", ""), re.S).group(1))
    extra = {path: what for path, what in without_kcore(seen).items() if path.removeprefix("/dev/") not in DEVICES}
    assert set(extra) <= {"/dev/console", "/dev/pts/0"}, extra


def examined(platform, _, __):
    """What the doctor says of the machine on which all this was seen, and of ports that somebody else has."""
    asked = [RENGA, "doctor", *platform.ports, *platform.flags]
    points = {point["what"]: point for point in json.loads(platform.run(*asked, "--data-dir", platform.data, "--json").ends().out)}
    for what in ("user namespaces", "seccomp", "memory limits", "process limits", "port of the API", "port of the router"):
        assert points[what]["verdict"] == "ok", points[what]
    assert points["port of the API"]["found"].endswith("is this platform's"), points
    assert all(bool(point["do"]) == bool(point["weakens"]) == (point["verdict"] != "ok") for point in points.values()), points
    other = platform.run(*asked, "--data-dir", platform.home / "other").ends(1)
    other.says(r"^missing +port of the API +\S+ is taken$", r"^Apps don't run here\.$")
