"""`memory`: what the platform takes for itself, and how soon it is back."""

import http.client
import pathlib
import time
import urllib.parse

from bench import Row, bare_app, bench_platform, cpu_seconds, median, ms, note, pss_megabytes, spread, wait_for

DYNOS = 5
# The supervisor and the init, which is a fork of it.
PROCESSES_PER_DYNO = 2
RESTARTS = 5
# What an idle platform settles to; nothing happens in it.
IDLE_SECONDS = 5
# The kernel counts CPU in hundredths of a second.
COUNTED_SECONDS = 10


def memory_bench():
    with bench_platform() as platform:
        app = bare_app(platform, "bench-clock", "clock: bin/clock\n", "clock")
        time.sleep(IDLE_SECONDS)
        unpacked = sum(roles(platform).values())
        ready = []
        for _ in range(RESTARTS):
            platform.stop()
            ready.append(ready_after_start(platform))
        time.sleep(IDLE_SECONDS)
        without = roles(platform)
        busy = idle_cpu(platform)
        platform.scale(app, clock=DYNOS)
        wait_for(f"{DYNOS} dynos", 30, lambda: len(supervisors(platform)) == DYNOS * PROCESSES_PER_DYNO)
        time.sleep(IDLE_SECONDS)
        each = sum(map(pss_megabytes, supervisors(platform))) / DYNOS
        beside = sum(roles(platform).values())
        platform.scale(app, clock=0)
        wait_for("the supervisors to end", 60, lambda: not supervisors(platform))
    for role, megabytes in without.items():
        note(f"renga {role}: {megabytes:.1f} MB")
    return [
        Row("memory: PSS of all platform processes, no dynos", sum(without.values()), "MB", target=40, text=told(without)),
        Row("memory: the same in the first life, which unpacked what it carries", unpacked, "MB", target=40),
        Row(f"memory: the same beside {DYNOS} dynos", beside, "MB"),
        Row("memory: PSS of a dyno's supervisor and init", each, "MB", target=2, text=f"mean of {DYNOS}"),
        Row("idle: CPU of all platform processes", busy, "ms/s", text="one deployed app, no dynos"),
        Row("ready: start on a data directory that is there", median(ready), "s", target=1.0, text=spread(ready)),
    ]


def told(megabytes):
    return ", ".join(f"{role} {value:.1f}" for role, value in megabytes.items())


def roles(platform):
    return {role: pss_megabytes(pid) for role, pid in sorted(platform.role_pids().items())}


def idle_cpu(platform):
    """Milliseconds of CPU per second, of all roles together."""
    pids = platform.role_pids().values()
    before = sum(map(cpu_seconds, pids))
    time.sleep(COUNTED_SECONDS)
    return ms(sum(map(cpu_seconds, pids)) - before) / COUNTED_SECONDS


def supervisors(platform):
    """Processes of this platform's dynos that are ours."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if str(platform.data).encode() in words and b"renga-dyno" in words:
            found.append(int(entry.name))
    return found


def ready_after_start(platform):
    """Seconds from `renga up` to the first good answer of the API."""
    begin = time.monotonic()
    platform.start()
    wait_for("an answer", 30, lambda: answers(platform), every=0.005)
    return time.monotonic() - begin


def answers(platform):
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(platform.endpoints["api"]).netloc, timeout=5)
    try:
        connection.request("GET", "/apps", headers={"Authorization": f"Bearer {platform.api.token}", "Accept": "application/vnd.heroku+json; version=3"})
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
