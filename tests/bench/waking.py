"""`wake`: a request to an app that sleeps, to the first byte of its answer."""

import time

from bench import Failed, Row, bench_platform, median, note, spread, wait_for
from deploys import boots, deployed

REPETITIONS = 5
SLEEP_AFTER_SECONDS = 2


def wake_bench():
    platform = bench_platform()
    config = platform.home / "renga.toml"
    config.write_text(f"[dynos]\nsleep_after_seconds = {SLEEP_AFTER_SECONDS}\n")
    platform.flags += ["--config", config]
    with platform:
        app, _ = deployed(platform)
        platform.api.call("PATCH", f"/apps/{app}/formation", {"updates": [{"type": "web", "size": "eco"}]})
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


def states(platform, app):
    return [dyno["state"] for dyno in platform.api.call("GET", f"/apps/{app}/dynos") if dyno["type"] == "web"]


def one_wake(platform, app):
    begin = time.time()
    status, page = platform.get(app)
    if status != 200:
        raise Failed(f"{app} answered {status}:\n{page}")
    return time.time() - begin
