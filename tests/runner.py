"""Finds and runs the tests of a folder: each module `test_*.py` has functions `test_*`; those called `soak_*` run with
`RENGA_SOAK=1` only.

Several words or none name tests by a part of `module::test`; `=module::test` is exactly one. With more than one job,
each test is a process of its own, and its output is printed whole when it ends. A test that is marked `alone` shares the
machine with no other.

The closing line is `N passed, N failed`; the exit code says whether any failed.
"""

import concurrent.futures
import importlib
import os
import subprocess
import sys
import time
import traceback

KINDS = ("test_", "soak_") if os.environ.get("RENGA_SOAK") else ("test_",)


def alone(function):
    """For a test that fills or measures the machine."""
    function.alone = True
    return function


def tests(here, wanted):
    for path in sorted(here.glob("test_*.py")):
        module = importlib.import_module(path.stem)
        for name, function in list(vars(module).items()):
            label = f"{path.stem[5:]}::{name[5:]}"
            own = callable(function) and getattr(function, "__module__", None) == path.stem
            if name.startswith(KINDS) and own and (not wanted or any(fits(word, label) for word in wanted)):
                yield label, function


def fits(word, label):
    return word[1:] == label if word.startswith("=") else word in label


def main(here, jobs=1):
    chosen = list(tests(here, sys.argv[1:]))
    jobs = min(jobs, len(chosen))
    failed = in_turn(chosen) if jobs < 2 else side_by_side(here, chosen, jobs)
    for label in failed:
        print(f"failed: {label}")
    print(f"{len(chosen) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed or not chosen else 0


def in_turn(chosen):
    failed = []
    for label, function in chosen:
        started = time.monotonic()
        print(f"{label} ...", flush=True)
        try:
            function()
            print(f"{label} ok ({time.monotonic() - started:.1f} s)", flush=True)
        except Exception:
            failed.append(label)
            traceback.print_exc()
            print(f"{label} FAILED ({time.monotonic() - started:.1f} s)", flush=True)
    return failed


def side_by_side(here, chosen, jobs):
    """Gives what failed, in the order of the tests."""
    apart = [label for label, function in chosen if getattr(function, "alone", False)]
    together = [label for label, _ in chosen if label not in apart]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        good = dict(pool.map(lambda label: (label, in_a_process(here, label)), together))
    good |= {label: in_a_process(here, label) for label in apart}
    return [label for label, _ in chosen if not good[label]]


def in_a_process(here, label):
    done = subprocess.run([sys.executable, str(here), f"={label}"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    # The test's own lines; what it says of one test as a whole run is left out.
    lines = done.stdout.decode(errors="replace").splitlines()
    shown = [line for line in lines if not line.startswith("failed: ") and not line.endswith(" passed, 0 failed") and line != "0 passed, 1 failed"]
    print("\n".join(shown), flush=True)
    return done.returncode == 0
