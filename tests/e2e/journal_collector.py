"""journal_collector.py FROM TO: links every log file that appears in FROM into TO, until standard input ends."""

import os
import pathlib
import select
import sys

PAUSE = 0.0005


def collect(source, kept):
    linked = set()
    over = False
    while not over:
        over = bool(select.select([sys.stdin], [], [], PAUSE)[0])
        for name in names(source):
            if name.endswith(".log") and name not in linked:
                try:
                    os.link(source / name, kept / name)
                    linked.add(name)
                except FileNotFoundError:
                    pass


def names(directory):
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []


def before_all_others():
    """The writer must not fill two files while this process waits for a core."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        os.setpriority(os.PRIO_PROCESS, 0, -20)


before_all_others()
print("!", end="", flush=True)
collect(*map(pathlib.Path, sys.argv[1:]))
