"""Runs the tests that need a machine of their own: `python3 tests/guest [NAME ...]`, after `bin/guest`."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from runner import main

sys.exit(main(HERE))
