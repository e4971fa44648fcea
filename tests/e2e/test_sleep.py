"""Dynos that stop and start by themselves: eco apps sleep and wake, every dyno cycles. Requests wait, none fails."""

import concurrent.futures
import os
import pathlib
import time

from app_under_test import App, answers, dyno_processes, kill
from platform_under_test import RENGA, Platform, wait_for
from test_load import Load, app_under_load

ROUNDS = int(os.environ.get("RENGA_SOAK_ROUNDS", "5"))
SLEEP_AFTER_SECONDS = 3
FREEZE_SECONDS = 8
CYCLE_AFTER_SECONDS = 3
KILLED = ("server", "router", "node")
AT_ONCE = 20


def platform_with(setting):
    platform = Platform()
    config = platform.home / "renga.toml"
    config.write_text(f"[dynos]\n{setting}\n")
    platform.flags += ["--config", config]
    return platform


def test_an_eco_app_sleeps_and_the_next_requests_wake_it():
    with platform_with(f"sleep_after_seconds = {SLEEP_AFTER_SECONDS}") as platform:
        app = App(platform, "drowsy")
        app.deploy()
        platform.heroku("ps:type", "eco", "-a", app.name).ends().says(r"web\s+Eco")
        sleeps_frozen_through_kills(app)

        freezes(app)
        app.configure(AWAKE="1")
        wait_for("the new release to be up", 20, lambda: states(app) == {"web": "up"})
        app.ledger.check()

        # What is frozen stops when it is told to, and sleeps on.
        freezes(app)
        platform.heroku("ps:stop", "web.1", "-a", app.name).ends()
        wait_for("its container to go", 20, lambda: not list((platform.data / "node/dynos").iterdir()))
        assert states(app) == {"web": "idle"}, states(app)
        wakes(app, "stopped")
        log = platform.heroku("logs", "-n", "200", "--source", "heroku", "--dyno", "web", "-a", app.name).ends()
        slept = r"Idling\n[^\n]*Unidling\n[\s\S]*Idling\n[^\n]*Stopping all processes with SIGTERM[\s\S]*from up to down"
        log.says(slept + r"[\s\S]*Unidling[\s\S]*from down to starting[\s\S]*from starting to up")
        changes_without_preboot(app)


def sleeps_frozen_through_kills(app):
    platform = app.platform
    freezes(app)
    before = dyno_processes(app)
    platform.heroku("ps", "-a", app.name).ends().says(r"^web\.1: idle ")
    platform.run(RENGA, "why", "web.1", "-a", app.name).ends().says("frozen")
    # Frozen is a row, and a word to the kernel: whoever is started again finds it so.
    for role in ("server", "router", "node"):
        kill(platform, role)
    answers(platform)
    freezes(app)
    wakes(app, "frozen")
    assert dyno_processes(app) == before, "it was started again"


def wakes(app, was):
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        pages = [page.result() for page in [pool.submit(app.page) for _ in range(AT_ONCE)]]
    print(f"{AT_ONCE} requests woke it, {was}, in {time.monotonic() - begin:.2f} s")
    assert pages == [(200, f"deploy {app.deploys}\n")] * AT_ONCE, pages
    assert states(app) == {"web": "up"}, states(app)


def changes_without_preboot(app):
    """The old one stops before the new one starts; requests wait."""
    app.platform.heroku("features:disable", "preboot", "-a", app.name).ends()
    before = ids(app)
    app.configure(AWAKE="2")
    pages = []
    while not pages or before & ids(app):
        pages.append(app.page())
    pages += [app.page() for _ in range(AT_ONCE)]
    assert pages == [(200, "deploy 1\n")] * len(pages), pages
    assert states(app) == {"web": "up"}, states(app)


def freezes(app):
    """Asleep, and halted by the kernel, as it is but for a moment every two seconds."""
    wait_for("sleep", 30, lambda: states(app) == {"web": "idle"})
    wait_for("frost", 20, lambda: [is_halted(id) for id in ids(app)] == [True])
    app.ledger.check()


def is_halted(dyno):
    groups = pathlib.Path("/sys/fs/cgroup")
    one = [path.read_text() for path in groups.glob(f"freezer/renga-*/{dyno}/app/freezer.state")]
    two = [path.read_text() for path in groups.glob(f"renga-*/{dyno}/app/cgroup.events")]
    return "FROZEN\n" in one or any("frozen 1" in events for events in two)


def ids(app):
    return {id for id, state in app.ledger.dynos(app.name).values() if state != "exited"}


def states(app):
    status, dynos = app.platform.api("GET", f"/apps/{app.name}/dynos")
    assert status == 200, dynos
    return {dyno["type"]: dyno["state"] for dyno in dynos}


def test_no_request_fails_when_dynos_cycle():
    with platform_with(f"cycle_after_seconds = {CYCLE_AFTER_SECONDS}") as platform:
        app = app_under_load(platform, "cyclist")
        first = ids(app)
        label = f"deploy {app.deploys} stamp none"
        with Load(app) as load:
            for _ in range(ROUNDS):
                load.change("cycle", lambda: cycled(app), label)
        load.judge(label)
        load.say()
        assert not first & ids(app)
        platform.heroku("logs", "-n", "1500", "--source", "heroku", "-a", app.name).ends().says(r"heroku\[web\.[12]\]: Cycling$")


def cycled(app):
    """Until all dynos are others."""
    before = ids(app)
    wait_for("a cycle", 60, lambda: not before & ids(app))


def soak_no_request_fails_when_an_app_freezes_and_thaws():
    """Every third sleep lasts until it is stopped. Processes are killed while it freezes, is frozen, and thaws."""
    setting = f"sleep_after_seconds = {SLEEP_AFTER_SECONDS}\nfreeze_seconds = {FREEZE_SECONDS}"
    with platform_with(setting) as platform:
        app = App(platform, "glacier")
        app.deploy()
        platform.heroku("ps:type", "eco", "-a", app.name).ends()
        spans = []
        for n in range(ROUNDS):
            wait_for("sleep", 30, lambda: states(app) == {"web": "idle"})
            if n % 3 == 1:
                kill(platform, KILLED[n // 3 % len(KILLED)])
                answers(platform)
            elif n % 3 == 2:
                wait_for("the stop", 30, lambda: not list((platform.data / "node/dynos").iterdir()))
            else:
                freezes(app)
            begin = time.monotonic()
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                page = pool.submit(app.page)
                if n % 6 == 3:
                    # The router is who answers; without it there is no request to fail.
                    kill(platform, ("server", "node")[n // 6 % 2])
                assert page.result() == (200, f"deploy {app.deploys}\n"), (n, page.result(), platform.operator_log()[-6000:])
            spans.append(time.monotonic() - begin)
            app.ledger.check()
        app.settle(web=1)
        print(f"figure: {ROUNDS} sleeps, 0 failed, the slowest request took {max(spans):.2f} s", flush=True)
