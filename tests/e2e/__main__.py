"""Runs end-to-end tests: `python3 tests/e2e [NAME ...]`."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from runner import main

sys.exit(main(HERE))
