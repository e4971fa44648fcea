"""Dynos that stop and start by themselves: eco apps sleep and wake, every dyno cycles. Requests wait, none fails."""

import concurrent.futures
import os
import time

from app_under_test import App, answers, kill
from platform_under_test import Platform, wait_for
from test_load import Load, app_under_load

ROUNDS = int(os.environ.get("RENGA_SOAK_ROUNDS", "5"))
SLEEP_AFTER_SECONDS = 3
CYCLE_AFTER_SECONDS = 8
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
        falls_asleep(app)
        platform.heroku("ps", "-a", app.name).ends().says(r"^web\.1: idle ")
        # Asleep is a row: whoever is started again finds it so.
        for role in ("server", "router"):
            kill(platform, role)
        answers(platform)
        assert states(app) == {"web": "idle"}, states(app)

        begin = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            pages = [page.result() for page in [pool.submit(app.page) for _ in range(AT_ONCE)]]
        print(f"{AT_ONCE} requests woke it in {time.monotonic() - begin:.2f} s")
        assert pages == [(200, "deploy 1\n")] * AT_ONCE, pages
        assert states(app) == {"web": "up"}, states(app)
        log = platform.heroku("logs", "-n", "200", "--source", "heroku", "--dyno", "web", "-a", app.name).ends()
        slept = r"Idling[\s\S]*Stopping all processes with SIGTERM[\s\S]*from up to down"
        log.says(slept + r"[\s\S]*Unidling[\s\S]*from down to starting[\s\S]*from starting to up")

        falls_asleep(app)
        app.configure(AWAKE="1")
        wait_for("the new release to be up", 20, lambda: states(app) == {"web": "up"})
        app.ledger.check()
        changes_without_preboot(app)


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


def falls_asleep(app):
    wait_for("sleep", 30, lambda: states(app) == {"web": "idle"})
    wait_for("its container to go", 20, lambda: not list((app.platform.data / "node/dynos").iterdir()))
    app.ledger.check()


def ids(app):
    return {id for id, state in app.ledger.dynos(app.name).values() if state != "exited"}


def states(app):
    status, dynos = app.platform.api("GET", f"/apps/{app.name}/dynos")
    assert status == 200, dynos
    return {dyno["type"]: dyno["state"] for dyno in dynos}


def soak_no_request_fails_when_dynos_cycle():
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
