"""Finds and runs the tests of a folder: each module `test_*.py` has functions `test_*`; those called `soak_*` run with
`RENGA_SOAK=1` only.

The closing line is `N passed, N failed`; the exit code says whether any failed.
"""

import importlib
import os
import sys
import time
import traceback

KINDS = ("test_", "soak_") if os.environ.get("RENGA_SOAK") else ("test_",)


def tests(here, wanted):
    for path in sorted(here.glob("test_*.py")):
        module = importlib.import_module(path.stem)
        for name, function in list(vars(module).items()):
            label = f"{path.stem[5:]}::{name[5:]}"
            if name.startswith(KINDS) and callable(function) and (not wanted or any(w in label for w in wanted)):
                yield label, function


def main(here):
    passed, failed = 0, []
    for label, function in tests(here, sys.argv[1:]):
        started = time.monotonic()
        print(f"{label} ...", flush=True)
        try:
            function()
            passed += 1
            print(f"{label} ok ({time.monotonic() - started:.1f} s)", flush=True)
        except Exception:
            failed.append(label)
            traceback.print_exc()
            print(f"{label} FAILED ({time.monotonic() - started:.1f} s)", flush=True)
    for label in failed:
        print(f"failed: {label}")
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed or not passed else 0
