"""Runs benches and prints one table: `python3 tests/bench [NAME ...]`. RENGA_BIN and HEROKU_BIN say what is measured.

Every figure is a median; a peer is measured in the same run, in turns with ours. The exit code is 1 when a target is
missed and `--strict` is given.
"""

import os
import pathlib
import platform as machine
import re
import sys
import time

import api_load
import commands
import crowds
import deploys
import footprint
import neighbour
import starts
import tables
import traffic
import waking
from platform_under_test import RENGA

BENCHES = {
    "push": deploys.push_bench,
    "start": starts.start_bench,
    "rollback": deploys.rollback_bench,
    "wake": waking.wake_bench,
    "freeze": waking.freeze_bench,
    "cli": commands.cli_bench,
    "api": api_load.api_bench,
    "router": traffic.router_bench,
    "tables": tables.tables_bench,
    "memory": footprint.memory_bench,
    "neighbour": neighbour.neighbour_bench,
    "crowd": crowds.crowd_bench,
    "blackout": crowds.blackout_bench,
}
HEAD = ["figure", "median", "unit", "target", "", "peer", "ratio", "range and remarks"]


def main():
    words = [word for word in sys.argv[1:] if word != "--strict"]
    names = list(BENCHES) if not words or "all" in words else words
    rows = []
    begin = load()
    for name in names:
        print(f"-----> {name} (load {load()})", file=sys.stderr, flush=True)
        measured = BENCHES[name]()
        measured[0].text = f"{measured[0].text}; load {load()} by then".removeprefix("; ")
        rows += measured
    print(about(begin))
    print(table([HEAD] + [row.cells() for row in rows]))
    missed = [row for row in rows if row.met() is False]
    return 1 if missed and "--strict" in sys.argv else 0


def load():
    """The load average, and how much of the last minute some process waited for a core, where the kernel tells."""
    average = pathlib.Path("/proc/loadavg").read_text().split()[0]
    try:
        pressure = re.search(r"avg60=(\d+)", pathlib.Path("/proc/pressure/cpu").read_text())
    except OSError:
        return average
    return f"{average} (CPU pressure {pressure[1]} %)"


def about(begin):
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{time.strftime('%Y-%m-%d %H:%M')}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GB, kernel {machine.release()}, "
        f"load {begin} at the start and {load()} at the end, {RENGA.parent.name} build\n"
    )


def table(lines):
    widths = [max(len(line[n]) for line in lines) for n in range(len(HEAD))]
    numbers = {1, 6}
    show = lambda n, cell: cell.rjust(widths[n]) if n in numbers else cell.ljust(widths[n])  # noqa: E731
    rows = ["  ".join(show(n, cell) for n, cell in enumerate(line)).rstrip() for line in lines]
    rows.insert(1, "-" * max(map(len, rows)))
    return "\n".join(rows)


sys.exit(main())
