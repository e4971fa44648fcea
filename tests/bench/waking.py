"""`wake` and `freeze`: a request to an app that sleeps, stopped or frozen, to the first byte of its answer."""

import pathlib
import time

from bench import Failed, Row, bench_platform, median, note, spread, wait_for
from deploys import boots, deployed

REPETITIONS = 5
FREEZE_REPETITIONS = 20
SLEEP_AFTER_SECONDS = 2


def wake_bench():
    with sleepy_platform(freeze_seconds=0) as platform:
        app = eco_app(platform)
        spans = []
        for _ in range(REPETITIONS):
            wait_for("sleep", 60, lambda: states(platform, app) == ["idle"])
            spans.append(one_wake(platform, app))
            note(f"woken in {spans[-1]:.2f} s")
        boot = median(boots(platform, app))
    rest = [span - boot for span in spans]
    return [
        Row("wake: request to the first answer of a stopped Django app", median(spans), "s", text=spread(spans)),
        Row("wake: app boot, alone in a dyno", boot, "s"),
        Row("wake: without the app's boot", median(rest), "s", target=0.15, text=spread(rest)),
    ]


def freeze_bench():
    with sleepy_platform(freeze_seconds=600) as platform:
        app, spans, dynos = eco_app(platform), [], set()
        for _ in range(FREEZE_REPETITIONS):
            wait_for("frost", 60, lambda: [is_halted(id) for id in ids(platform, app)] == [True])
            dynos |= set(ids(platform, app))
            spans.append(one_wake(platform, app))
        if len(dynos | set(ids(platform, app))) != 1:
            raise Failed(f"{app} was started again, so it was not frozen")
    return [
        Row("freeze: request to the first answer of a frozen Django app", median(spans) * 1000, "ms", target=150, text=spread([span * 1000 for span in spans]))
    ]


def sleepy_platform(freeze_seconds):
    platform = bench_platform()
    config = platform.home / "renga.toml"
    config.write_text(f"[dynos]\nsleep_after_seconds = {SLEEP_AFTER_SECONDS}\nfreeze_seconds = {freeze_seconds}\n")
    platform.flags += ["--config", config]
    return platform


def eco_app(platform):
    app, _ = deployed(platform)
    platform.api.call("PATCH", f"/apps/{app}/formation", {"updates": [{"type": "web", "size": "eco"}]})
    return app


def ids(platform, app):
    return [dyno["id"] for dyno in platform.api.call("GET", f"/apps/{app}/dynos") if dyno["type"] == "web"]


def is_halted(dyno):
    """By the kernel's word, in either version of control groups."""
    groups = pathlib.Path("/sys/fs/cgroup")
    one = [path.read_text() for path in groups.glob(f"freezer/renga-*/{dyno}/app/freezer.state")]
    two = [path.read_text() for path in groups.glob(f"renga-*/{dyno}/app/cgroup.events")]
    return "FROZEN\n" in one or any("frozen 1" in events for events in two)


def states(platform, app):
    return [dyno["state"] for dyno in platform.api.call("GET", f"/apps/{app}/dynos") if dyno["type"] == "web"]


def one_wake(platform, app):
    begin = time.time()
    status, page = platform.get(app)
    if status != 200:
        raise Failed(f"{app} answered {status}:\n{page}")
    return time.time() - begin
