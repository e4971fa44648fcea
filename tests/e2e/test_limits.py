"""What a dyno may use, by the operator's own sizes: memory, disk, processes, open files, output; and what all may."""

import concurrent.futures
import re
import threading
import urllib.request

from platform_under_test import RENGA, Platform, wait_for

CONFIG = """
[sizes.tiny]
memory_mib = 64
processes = 24
open_files = 200
disk_mib = 64

[sizes.basic]
memory_mib = 128

# Two of these are more than the machine has.
[sizes.most]
memory_mib = {most_mib}

[memory]
reserve_mib = 0
overcommit = 1.0

[tiers.free]
dynos = 1
others = true
"""
# Prints what it finds of its limits, then keeps a shell for what the test wants.
PROBE = """
import os, resource, socket, sys, time
print("quota", open("/sys/fs/cgroup/memory/memory.limit_in_bytes").read().strip(), flush=True)
held, children = [], 0
try:
    while True: held.append(os.open("/dev/null", os.O_RDONLY))
except OSError as error:
    print("files", len(held), error.strerror, flush=True)
for fd in held: os.close(fd)
try:
    while True:
        if os.fork() == 0: time.sleep(1000)
        children += 1
except OSError as error:
    print("processes", children, error.strerror, flush=True)
"""
FILL = """
import time
try:
    with open("/app/large", "wb", buffering=0) as file:
        while True: file.write(b"x" * 65536)
except OSError as error:
    print("write:", error.strerror, flush=True)
time.sleep(1000)
"""
FLOOD = """
import sys
block = "".join(f"flood {n} {'x' * 80}\\n" for n in range(1000))
for _ in range(400): sys.stdout.write(block)
print("that was all", flush=True)
"""
PROCFILE = """web: python3 -m http.server --bind :: $PORT
probe: python3 probe.py && sleep 1000
disk: python3 disk.py
memory: python3 -c 'x = bytearray(b"x") * (200 << 20)'
flood: python3 flood.py && sleep 1000
"""
APP = "limited"


def test_operators_sizes_bound_a_dyno():
    with Platform() as platform:
        deploy(platform)
        sizes = {size["name"]: size for size in platform.api("GET", "/dyno-sizes")[1]}
        assert sizes["tiny"]["memory"] == 0.0625 and sizes["Basic"]["memory"] == 0.125, sizes
        platform.heroku("ps:scale", "disk=1:tiny", "probe=1:tiny", "memory=1:tiny", "-a", APP).ends().says("disk at 1:tiny")
        refusals(platform)
        bounds(platform)
        stops_first(platform)


def soak_full_disks_and_floods_are_told():
    with Platform() as platform:
        deploy(platform)
        platform.heroku("ps:scale", "disk=1:tiny", "-a", APP).ends()
        wait_for("the full disk", 60, lambda: said(platform, "heroku[disk.1]", r"Disk quota reached \(\d+M of \d+M\)"), 1)
        # Last: what an app says much of pushes the rest out of its log.
        platform.heroku("ps:scale", "flood=1:tiny", "disk=0", "-a", APP).ends()
        flooded(platform)


def deploy(platform):
    configure(platform, CONFIG.format(most_mib=machine_mib() * 6 // 10))
    repository = platform.repository("misbehave", APP)
    for name, text in (("Procfile", PROCFILE), ("probe.py", PROBE), ("disk.py", FILL), ("flood.py", FLOOD)):
        (repository / name).write_text(text)
    platform.commit(repository, "Limits")
    platform.heroku("create", APP, cwd=repository).ends()
    platform.git("push", platform.git_url(APP), "HEAD:refs/heads/main", cwd=repository).ends()


def refusals(platform):
    for wanted, says in (
        ("web=1:huge", r"No such size as huge\. Available dyno sizes are Eco, .* and tiny\."),
        ("web=50:performance-2xl", r"Not enough memory: this takes \d+ MB more, and \d+ MB of the \d+ MB for dynos are free\."),
    ):
        # The client breaks lines as it likes.
        refused = re.sub(r"[\s›]+", " ", platform.heroku("ps:scale", wanted, "-a", APP).ends(2).text)
        assert re.search(says, refused), refused


def bounds(platform):
    for dyno, line in (
        ("app[probe.1]", rf"quota {64 << 20}$"),
        ("app[probe.1]", r"files 19\d Too many open files$"),
        # The shell, python and its children.
        ("app[probe.1]", r"processes 2[0-3] Resource temporarily unavailable$"),
        ("heroku[memory.1]", r"Process running mem=12[78]M\((199\.\d|200\.0)%\)$"),
        ("heroku[memory.1]", r"Error R15 \(Memory quota vastly exceeded\)$"),
        ("heroku[memory.1]", r"Stopping process with SIGKILL$"),
        ("heroku[memory.1]", r"Process exited with status 137$"),
        ("app[disk.1]", r"write: No space left on device$"),
    ):
        wait_for(line, 40, lambda: said(platform, dyno, line), 0.5)


def stops_first(platform):
    """A dyno that has no room for its successor beside it makes room, and requests wait."""
    platform.heroku("ps:scale", "web=1:most", "disk=0", "probe=0", "memory=0", "-a", APP).ends()
    wait_for("the large dyno", 40, lambda: dynos(platform) == {"web.1": ("most", "up")}, 0.2)
    over = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        statuses = pool.submit(ask_until, platform, over)
        platform.heroku("config:set", "A=1", "-a", APP).ends()
        first = r"No memory is free for a second dyno beside this one: it stops before its successor starts"
        try:
            wait_for("the order", 40, lambda: said(platform, "heroku[web.1]", rf"{first}\n(?s:.*)Starting process"), 0.2)
            wait_for("the successor", 40, lambda: dynos(platform) == {"web.1": ("most", "up")}, 0.2)
        finally:
            over.set()
        assert set(statuses.result()) == {200}, statuses.result()


def ask_until(platform, over):
    statuses = [platform.get(APP)[0]]
    while not over.is_set():
        statuses.append(platform.get(APP)[0])
    return [*statuses, platform.get(APP)[0]]


def dynos(platform):
    return {dyno["name"]: (dyno["size"], dyno["state"]) for dyno in platform.api("GET", f"/apps/{APP}/dynos")[1]}


def machine_mib():
    with open("/proc/meminfo") as file:
        return int(re.search(r"^MemTotal:\s+(\d+) kB$", file.read(), re.M)[1]) // 1024


def flooded(platform):
    """Every line is there or counted, and the app was never made to wait for it."""
    last = wait_for("the flood's last line", 40, lambda: said(platform, "app[flood.1]", r"(that was all)$"), 0.5)
    assert len(last) == 1
    assert said(platform, "heroku[flood.1]", r"Error L12: (\d+) messages dropped since "), log(platform)[-2000:]


def configure(platform, text):
    """Starts the platform again with this configuration."""
    config = platform.home / "renga.toml"
    config.write_text(text)
    platform.run(RENGA, "server", "--check", "--config", config).ends()
    platform.flags = ["--config", config]
    platform.stop()
    platform.start()


def said(platform, source, pattern):
    return re.findall(rf"^\S+ {re.escape(source)}: {pattern}", log(platform), re.M)


def log(platform):
    """Not by the official CLI: it is asked often here, and takes a second each time."""
    _, session = platform.api("POST", f"/apps/{APP}/log-sessions", {"lines": 1500})
    with urllib.request.urlopen(session["logplex_url"], timeout=30) as answer:
        return answer.read().decode(errors="replace")
