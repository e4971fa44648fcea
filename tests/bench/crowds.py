"""`crowd`: what many idle dynos cost. `blackout`: how soon many apps are back after everything has died at once."""

import contextlib
import os
import pathlib
import re
import signal
import time

from bench import Row, bare_app, bench_platform, compiled, cpu_seconds, median, ms, note, pss_megabytes, push_through, spread, wait_for
from footprint import roles, supervisors
from machine import processes_of

DYNOS, DYNOS_PER_APP = 200, 100
COUNTED_SECONDS = 10
SETTLE_SECONDS = 5
APPS = 20
BLACKOUTS = 3
ASKED_EVERY_SECONDS = 0.02
# A dyno that is lost while it is young is started again after a pause, so that none is started in a circle.
YOUNG_SECONDS = 11


# === crowd ===


def crowd_bench():
    platform = bench_platform()
    config = platform.home / "renga.toml"
    # More quotas than the machine has memory: idle dynos use none of it.
    config.write_text("[memory]\novercommit = 100.0\n[disk]\novercommit = 100.0\n")
    platform.flags += ["--config", config]
    with platform:
        apps = [bare_app(platform, f"bench-crowd-{n}", "clock: bin/clock\n", "clock") for n in range(DYNOS // DYNOS_PER_APP)]
        before, begin = available_megabytes(), time.monotonic()
        for app in apps:
            platform.scale(app, clock=DYNOS_PER_APP)
        wait_for(f"{DYNOS} dynos", 180, lambda: up(platform) == DYNOS, every=0.2)
        took = time.monotonic() - begin
        time.sleep(SETTLE_SECONDS)
        machine = (before - available_megabytes()) / DYNOS
        each = sum(map(pss_megabytes, supervisors(platform))) / DYNOS
        memory = sum(roles(platform).values())
        busy = idle_cpu(platform)
        for app in apps:
            platform.scale(app, clock=0)
        begin = time.monotonic()
        wait_for("all of them to end", 180, lambda: not supervisors(platform), every=0.2)
        ended = time.monotonic() - begin
    note(f"{DYNOS} dynos ended in {ended:.1f} s")
    return [
        Row(f"crowd: {DYNOS} dynos up, from the order", took, "s", text=f"{took / DYNOS * 1000:.0f} ms each"),
        Row(f"crowd: PSS of a dyno's supervisor and init, mean of {DYNOS}", each, "MB", target=2),
        Row("crowd: memory that the machine lost for each, app and kernel included", machine, "MB"),
        Row(f"crowd: PSS of all platform processes beside {DYNOS} dynos", memory, "MB"),
        Row(f"crowd: idle CPU of platform and supervisors beside {DYNOS} dynos", busy, "ms/s", text="of one core"),
    ]


def up(platform):
    return sum(dyno["state"] == "up" for app in platform.api.call("GET", "/apps") for dyno in platform.api.call("GET", f"/apps/{app['name']}/dynos"))


def available_megabytes():
    return int(re.search(r"^MemAvailable:\s+(\d+) kB", pathlib.Path("/proc/meminfo").read_text(), re.M)[1]) / 1024


def idle_cpu(platform):
    """Milliseconds of CPU per second."""
    pids = [*platform.role_pids().values(), *supervisors(platform)]
    before = sum(map(cpu_seconds, pids))
    time.sleep(COUNTED_SECONDS)
    return ms(sum(map(cpu_seconds, pids)) - before) / COUNTED_SECONDS


# === blackout ===


def blackout_bench():
    with bench_platform() as platform:
        apps = crowd_of_apps(platform)
        spans = []
        for _ in range(BLACKOUTS):
            time.sleep(YOUNG_SECONDS)
            all_die(platform)
            begin = time.monotonic()
            platform.start()
            missing = set(apps)
            while missing:
                missing -= {app for app in missing if serves(platform, app)}
                time.sleep(ASKED_EVERY_SECONDS)
            spans.append(time.monotonic() - begin)
            note(f"back after {spans[-1]:.2f} s")
    text = f"{spread(spans)}; apps that boot at once, what was killed is cleared away first"
    return [Row(f"blackout: platform and {APPS} apps killed; from the start until all answer", median(spans), "s", target=5, text=text)]


def crowd_of_apps(platform):
    """One repository, many apps; each serves."""
    repository = platform.home / "blackout"
    compiled("hello", repository / "bin")
    (repository / "Procfile").write_text("web: bin/hello\n")
    platform.git("init", "-q", "-b", "main", cwd=repository).ends()
    platform.commit(repository, "First commit")
    names = [f"bench-blackout-{n}" for n in range(APPS)]
    for name in names:
        platform.app(name, repository)
        push_through(platform, repository, name)
        platform.git("remote", "remove", "heroku", cwd=repository).ends()
    for name in names:
        wait_for(f"{name} to serve", 30, lambda name=name: serves(platform, name))
    return names


def serves(platform, app):
    with contextlib.suppress(OSError, IndexError, ValueError):
        return platform.get(app, timeout=10)[0] == 200
    return False


def all_die(platform):
    """At once and without a word, as far as a machine can do that which goes on: the platform, supervisors and apps."""
    dynos = [int(entry.split()[0]) for entry in processes_of(platform, platform.instance()) if entry[0].isdigit()]
    for pid in [platform.process.pid, *platform.role_pids().values(), *dynos]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    platform.process.wait()
    wait_for("all to be dead", 30, lambda: not platform.role_pids() and not supervisors(platform))
    (platform.data / "endpoints.json").unlink(missing_ok=True)
