"""Long repetitions, for `bin/soak`: what grows, leaks or goes wrong one time in a hundred shows here.

`RENGA_SOAK_ROUNDS` is how often (default 10). Each prints `figure: ...` lines, which `bin/soak` gathers in its table.
"""

import concurrent.futures
import os
import pathlib
import re
import signal
import subprocess
import time

from app_under_test import App, settled_differences
from machine import snapshot
from platform_under_test import Failed, Platform, wait_for
from test_load import app_under_load

ROUNDS = int(os.environ.get("RENGA_SOAK_ROUNDS", "10"))
MIB = 1024**2
# Deploys before the first look: caches, pools and buffers have their size by then.
WARM_DEPLOYS = 5
# What a role may have grown between the first look and the last.
GROWTH_MAX = 16 * MIB
# The node remembers up to 512 user namespaces, one for each range of ids that it has used.
DESCRIPTORS_MAX = 700
STARTS_AT_ONCE = 8
RUNS_AT_ONCE = 4
RELEASES_KEPT = 3
# How long each router serves before its successor comes.
REPLACED_EVERY_S = 2
# Requests of five seconds that each of them has under way then.
LONG_AT_ONCE = 3
# A successor that waited for them would keep newcomers for longer.
NEWCOMER_MAX_S = 2


def figure(text):
    print(f"figure: {text}", flush=True)


def soak_deploys():
    """Deploy after deploy over a byte budget of nothing: memory, descriptors and disk stay what they were."""
    with Platform() as platform:
        config = platform.home / "renga.toml"
        config.write_text(f"[disk]\nbudget_mib = 0\nreleases_kept = {RELEASES_KEPT}\n")
        platform.flags = ["--config", config]
        platform.stop()
        platform.start()
        app = App(platform, "deploys")
        looks = []
        for count in (WARM_DEPLOYS, ROUNDS):
            for _ in range(count):
                app.deploy()
            app.settle(web=1)
            looks.append((holdings(platform), snapshot(platform)))
        (before, first), (after, last) = looks
        for role, (pss, descriptors) in after.items():
            old_pss, old_descriptors = before[role]
            figure(f"{ROUNDS} deploys: {role} {old_pss / MIB:.1f} -> {pss / MIB:.1f} MB, {old_descriptors} -> {descriptors} descriptors")
            if pss > old_pss + GROWTH_MAX or descriptors > max(old_descriptors + 8, DESCRIPTORS_MAX):
                raise Failed(f"{role} grew from {before[role]} to {after[role]}")
        for kind in ("mounts", "links", "loop devices", "cgroups", "dynos", "layers", "images"):
            if len(last[kind]) > len(first[kind]) + RELEASES_KEPT:
                raise Failed(f"{kind}: {len(first[kind])} became {len(last[kind])}\n{last[kind]}")
        figure(f"{ROUNDS} deploys: {len(last['layers'])} layers, {len(last['outputs'])} outputs on disk")
        app.ledger.check()


def holdings(platform):
    """Role to (proportional memory in bytes, open descriptors)."""
    found = {}
    for role, pid in platform.role_pids().items():
        rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        pss = next(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))
        found[role] = (pss, len(os.listdir(f"/proc/{pid}/fd")))
    return found


def soak_starts():
    """Many dynos at once, up and down again: none hangs, and nothing of them stays."""
    with Platform() as platform:
        app = App(platform, "starts")
        app.deploy()
        app.scale(web=STARTS_AT_ONCE)
        app.settle(web=STARTS_AT_ONCE)
        app.scale(web=0)
        app.settle(web=0)
        baseline = snapshot(platform)
        for _ in range(ROUNDS):
            app.scale(web=STARTS_AT_ONCE)
            app.settle(web=STARTS_AT_ONCE)
            app.scale(web=0)
            app.settle(web=0)
        left = settled_differences(platform, baseline)
        assert not left, "\n".join(left)
        figure(f"{ROUNDS * STARTS_AT_ONCE} starts, {STARTS_AT_ONCE} at once: nothing left behind")


def soak_runs():
    """One-off dynos side by side: each gets its own input back and its own exit code."""
    with Platform() as platform:
        app = App(platform, "runs")
        app.deploy()
        app.settle(web=1)
        baseline = snapshot(platform)
        with concurrent.futures.ThreadPoolExecutor(RUNS_AT_ONCE) as pool:
            list(pool.map(lambda n: one_run(platform, app, n), range(ROUNDS * RUNS_AT_ONCE)))
        left = settled_differences(platform, baseline)
        assert not left, "\n".join(left)
        figure(f"{ROUNDS * RUNS_AT_ONCE} runs, {RUNS_AT_ONCE} at once: every output and exit code right")


def one_run(platform, app, number):
    code, lines = number % 50, 2_000
    script = f"cat; seq {lines}; (exit {code})"
    done = platform.heroku("run", "--exit-code", "--no-tty", "-a", app.name, "--", script, stdin=f"input of {number}\n")
    done.ends(code)
    wanted = [f"input of {number}", *map(str, range(1, lines + 1))]
    if done.out.split("\n")[: len(wanted)] != wanted:
        raise Failed(f"run {number}: {done.out[:200]!r} ... {done.out[-200:]!r}")


def soak_handover():
    """The router replaced again and again under thousands of new connections a second, each time with requests of five
    seconds under way: none is refused, reset, forgotten or kept waiting."""
    seconds = ROUNDS * REPLACED_EVERY_S + 1
    with Platform() as platform, concurrent.futures.ThreadPoolExecutor(8 * LONG_AT_ONCE) as pool:
        app_under_load(platform, "handover")
        port = re.search(r":(\d+)", platform.endpoints["router"]).group(1)
        # A name that no app has: the router answers by itself, so that it alone is what is measured.
        words = ["wrk", "-t1", "-c32", f"-d{seconds}s", "--timeout", "20s", "-H", "Host: nobody.localhost", "-H", "Connection: close"]
        load = subprocess.Popen([*words, f"http://127.0.0.1:{port}/"], stdout=subprocess.PIPE, text=True)
        newcomers = pool.submit(times_of_newcomers, platform, time.monotonic() + seconds)
        long = []
        for _ in range(ROUNDS):
            time.sleep(REPLACED_EVERY_S / 2)
            long += [pool.submit(platform.get, "handover", "/long") for _ in range(LONG_AT_ONCE)]
            time.sleep(REPLACED_EVERY_S / 2)
            old = platform.role_pids()["router"]
            os.kill(old, signal.SIGTERM)
            wait_for("another router", 20, lambda old=old: platform.role_pids().get("router", old) != old)
        said, _ = load.communicate(timeout=60)
        times = sorted(newcomers.result())
        failed = [one.result() for one in long if one.result()[0] != 200]
        requests, refused = (int(found[1]) if found else 0 for found in (re.search(p, said) for p in (r"(\d+) requests in", r"responses: (\d+)")))
        figure(f"{ROUNDS} routers: {requests} connections, {requests // seconds} a second, none lost")
        figure(f"{len(long)} requests of 5 s under way, {len(failed)} failed")
        figure(f"{len(times)} newcomers' connect and answer: p50 {times[len(times) // 2]:.3f} s, longest {times[-1]:.3f} s")
        if "Socket errors" in said or requests != refused or requests < 1_000 * ROUNDS or failed or times[-1] > NEWCOMER_MAX_S:
            raise Failed(f"{said}{failed}")


def times_of_newcomers(platform, end):
    """How long each takes from connecting to the end of its answer, one after the other."""
    times = []
    while (begun := time.monotonic()) < end:
        status, _ = platform.get("nobody", timeout=20)
        assert status == 404, status
        times.append(time.monotonic() - begun)
    return times
