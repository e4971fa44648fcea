"""`cli`: what `renga` takes to start, and what `renga apps` takes beside the server's answer."""

import os
import resource
import subprocess
import time

from bench import Row, bench_platform, median, ms, spread
from platform_under_test import HEROKU, RENGA

RUNS = 30
RUNS_OF_HEROKU = 5
APPS = 10


def cli_bench():
    with bench_platform() as platform:
        for n in range(APPS):
            platform.api.call("POST", "/apps", {"name": f"bench-app-{n}"})
        server, ours, cpu, theirs, cold = [], [], [], [], []
        timed(platform, HEROKU, "apps")  # Its first run makes its own files.
        for n in range(RUNS):
            begin = time.perf_counter()
            platform.api.call("GET", "/users/~/apps")
            server.append(ms(time.perf_counter() - begin))
            whole, used = timed(platform, RENGA, "apps")
            ours.append(whole)
            cold.append(timed(platform, RENGA, "local:version")[0])
            cpu.append(used)
            if n < RUNS_OF_HEROKU:
                theirs.append(timed(platform, HEROKU, "apps")[0])
    answer = median(server)
    beside = [whole - answer for whole in ours]
    return [
        Row("cli: cold start, `renga local:version` from fork to end", median(cold), "ms", target=10, text=spread(cold)),
        Row(
            "cli: `renga apps`, process beside the server's answer",
            median(beside),
            "ms",
            target=15,
            peer=median(theirs) - answer,
            peer_name="heroku",
            text=f"{spread(beside)}; the server's answer takes {answer:.1f} ms; {median(cpu):.1f} ms of CPU",
        )
    ]


def timed(platform, *command):
    """Milliseconds of a command from start to end, and of its CPU."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    subprocess.run([os.fspath(word) for word in command], env=platform.bench_env, check=True, stdout=subprocess.DEVNULL)
    whole = ms(time.perf_counter() - begin)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return whole, ms(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
