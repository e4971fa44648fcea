"""Runs end-to-end tests: `python3 tests/e2e [NAME ...]`, RENGA_TEST_JOBS of them (default 1) at a time."""

import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from runner import main

# Most of a test is waiting, for a boot or for a grace to end.
sys.exit(main(HERE, jobs=int(os.environ.get("RENGA_TEST_JOBS", "1"))))
