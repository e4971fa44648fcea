"""`start`: from the decision to the first instruction of the app's command."""

import json
import pathlib
import shutil
import subprocess
import tempfile
import time

from bench import Row, bare_app, bench_platform, compiled, median, ms, note, spread

STARTS = 30
MARK = "first-instruction="


def start_bench():
    with bench_platform() as platform, Runc() as runc:
        app = bare_app(platform, "bench-clock", "clock: bin/clock\n", "clock")
        ours, theirs = [], []
        for _ in range(STARTS):
            ours.append(one_start(platform, app))
            theirs.append(runc.one_start())
        supervised = made(platform)
    note(f"the node's own steps, last start: {supervised}")
    return [
        Row(
            "start: row decided to the command's first instruction",
            median(ours),
            "ms",
            target=50,
            peer=median(theirs),
            peer_name="runc",
            text=f"{spread(ours)}; ours with disk, network, log and two shells, runc: `runc run` of a prepared bundle",
        )
    ]


def one_start(platform, app):
    """Scales to one and back to none. The decision is the `State changed from ... to starting` of the platform's log,
    written with the row's own time, before it is committed."""
    begin = time.time()
    platform.scale(app, clock=1)
    decided, _ = platform.api.wait_for_line(app, r"heroku\[clock\.1\]", "to starting", begin)
    _, said = platform.api.wait_for_line(app, r"app\[clock\.1\]", rf"{MARK}(\d+)", begin)
    platform.scale(app, clock=0)
    platform.api.wait_for_line(app, r"heroku\[clock\.1\]", "to down", begin)
    return ms(int(said[1]) / 1e9 - decided)


def made(platform):
    lines = [line for line in platform.operator_log().splitlines() if "made a dyno" in line]
    return lines[-1].partition("made a dyno: ")[2] if lines else "not told"


class Runc:
    """The distribution's runc with an unpacked bundle of the same program: no disk, no network, no log."""

    def __enter__(self):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="renga-bench-runc-"))
        (self.home / "rootfs/proc").mkdir(parents=True)
        shutil.move(compiled("clock", self.home / "rootfs/bin"), self.home / "rootfs/bin/clock")
        subprocess.run(["runc", "spec", "--bundle", self.home], check=True)
        config = json.loads((self.home / "config.json").read_text())
        config["process"].update(terminal=False, args=["/bin/clock", "once"])
        (self.home / "config.json").write_text(json.dumps(config))
        return self

    def one_start(self):
        name = f"renga-bench-{time.time_ns()}"
        begin = time.time()
        done = subprocess.run(["runc", "run", "--bundle", self.home, name], check=True, capture_output=True, text=True)
        return ms(int(done.stdout.partition(MARK)[2]) / 1e9 - begin)

    def __exit__(self, *_):
        shutil.rmtree(self.home, ignore_errors=True)
