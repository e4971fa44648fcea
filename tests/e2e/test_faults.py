"""Every process is killed at every kind of moment; nothing may be lost, doubled, left behind or restarted for it.

With `RENGA_SOAK_ROUNDS` above 1 the kills are repeated, at random moments (see `bin/soak`).
"""

import itertools
import os
import random
import re
import signal
import threading
import time

from app_under_test import App, answers, dyno_processes, insist, kill, read_until, settled_differences
from machine import Journal, differences, snapshot
from platform_under_test import Failed, Platform, wait_for

SOAK_ROUNDS = int(os.environ.get("RENGA_SOAK_ROUNDS", "1"))
ROLES = ("node", "server", "router")


class Load:
    """Requests one after the other, each with what came of it."""

    def __init__(self, app):
        self.app, self.results, self.over = app, [], threading.Event()
        self.thread = threading.Thread(target=self._go, daemon=True)
        self.thread.start()

    def _go(self):
        while not self.over.wait(0.01):
            begun = time.monotonic()
            self.results.append((begun, *self.app.page()))

    def failures(self, since, until=None):
        return [r for r in list(self.results) if r[1] != 200 and r[0] >= since and (until is None or r[0] <= until)]

    def stop(self):
        self.over.set()
        self.thread.join()


# === killed at every kind of moment ===


def points():
    """What is going on, who is killed, and after which part of the time that it usually takes: 20 points."""
    deploys = [("deploy", role, part) for role in ROLES for part in (0.15, 0.5, 0.85)]
    scales = [("scale", role, part) for role, part in (("node", 0.2), ("server", 0.0), ("server", 0.5), ("router", 0.3))]
    configs = [("config", role, part) for role, part in (("node", 0.3), ("server", 0.0), ("server", 0.6), ("router", 0.5))]
    return deploys + scales + configs + [("load", role, 0.0) for role in ROLES]


class Beside:
    """An app that meanwhile logs numbered lines, crashes, and runs one-off dynos."""

    def __init__(self, platform):
        self.app = App(platform, "beside", crasher="sleep 0.2; exit 4")
        status, said = platform.api("PATCH", "/apps/beside/config-vars", {"TICK_SECONDS": "0.1"})
        assert status == 200, said
        self.app.deploy()
        self.journal = Journal(platform, self.app.row["id"])
        self.app.scale(web=0, ticker=1, crasher=1)
        wait_for("numbered lines", 30, lambda: self.app.ledger.dynos("beside").get("ticker.1", ("", ""))[1] == "up")
        self.ticker = dyno_processes(self.app)["ticker.1"]

    def goes_on(self):
        """A restart of the crasher forgets its crashes, so it crashes again; a one-off that fails. In the background."""
        thread = threading.Thread(target=self._go)
        thread.start()
        return thread

    def _go(self):
        api, one_off = self.app.platform.api, {"command": "exit 3", "attach": False}
        assert insist(lambda: api("DELETE", "/apps/beside/dynos/crasher.1"))[0] in (202, 404)
        assert insist(lambda: api("POST", "/apps/beside/dynos", one_off))[0] == 201

    def ends(self):
        """Whatever has begun has ended, once; of the lines none is missing and none there twice."""
        assert dyno_processes(self.app)["ticker.1"] == self.ticker, "the ticker was restarted"
        one_offs = lambda: self.app.ledger.rows("SELECT 1 FROM dyno WHERE kind <> 'formation'")  # noqa: E731
        wait_for("the one-off dynos to end", 30, lambda: not one_offs())
        self.app.scale(ticker=0, crasher=0)
        wait_for("all dynos to end", 30, lambda: not self.app.ledger.dynos("beside"))
        self.journal.stop()
        [(lines, lost)] = [counts for ps, counts in numbered_lines(self.journal).items() if ps == "ticker.1"]
        said = [(ps, text) for of_platform, ps, text in self.journal.lines() if of_platform]
        begun = [ps for ps, text in said if ps.startswith("run.") and text == "Starting process with command `exit 3`"]
        ended = [ps for ps, text in said if ps.startswith("run.") and text == "Process exited with status 3"]
        assert sorted(begun) == sorted(ended), f"begun: {sorted(begun)}, ended: {sorted(ended)}"
        crashes = said.count(("crasher.1", "Process exited with status 4"))
        print(f"figure: {lines} numbered lines, {lost} told as lost, {len(ended)} one-off dynos, {crashes} crashes", flush=True)
        assert len(begun) >= len(points()) and crashes >= len(points())
        self.app.destroy()


def test_kills_leave_nothing_behind():
    with Platform() as platform:
        baseline = before_any_app(platform)
        app, beside = App(platform, "kills"), Beside(platform)
        app.deploy()
        app.scale(web=2)
        app.settle(web=2)
        run_points(platform, app, beside)
        beside.ends()
        whole_after_all(platform, app)
        app.destroy()
        left = settled_differences(platform, baseline)
        assert not left, "\n".join(left)


def before_any_app(platform):
    """After one app has come and gone: what is made once and kept has been made."""
    app = App(platform, "first")
    app.deploy()
    app.destroy()
    wait_for("its layers to be collected", 60, lambda: not any((platform.data / "node/layers").iterdir()))
    kill(platform, "node")
    answers(platform)
    return snapshot(platform)


def run_points(platform, app, beside):
    load = Load(app)
    chance = random.Random(4711)
    usual = {"deploy": usual_time(app.deploy), "scale": 0.3, "config": 1.0, "load": 0.0}
    try:
        for what, role, part in points() * SOAK_ROUNDS:
            delay = usual[what] * (part if SOAK_ROUNDS == 1 else chance.random())
            begun, others = time.monotonic(), beside.goes_on()
            one_point(platform, app, what, role, delay)
            others.join()
            took = time.monotonic() - begun
            failed = load.failures(begun)
            print(f"    {what}: {role} killed after {delay:.2f} s; {took:.1f} s in all; {len(failed)} failed requests", flush=True)
            if role != "router":
                assert not failed, f"requests failed while {role} was killed during a {what}: {failed[:5]}"
    finally:
        load.stop()


def usual_time(act):
    begun = time.monotonic()
    act()
    return time.monotonic() - begun


def one_point(platform, app, what, role, delay):
    before = dyno_processes(app)
    if what == "deploy":
        deploy_through(app, platform, role, delay)
    elif what == "scale":
        quantity = 3 if len(before) == 2 else 2
        during(platform, role, delay, lambda: app.scale(web=quantity))
    elif what == "config":
        during(platform, role, delay, lambda: app.configure(ROUND=str(time.monotonic_ns())))
    else:
        kill(platform, role)
    answers(platform)
    quantity = quantity if what == "scale" else len(before)
    app.settle(web=quantity)
    app.serves()
    after = dyno_processes(app)
    if what in ("scale", "load"):
        kept = min(len(before), len(after))
        same = {name: process for name, process in before.items() if after.get(name) == process}
        assert len(same) == kept, f"dynos were restarted: {before} became {after}\n{platform.operator_log()[-3000:]}"


def during(platform, role, delay, act):
    """Kills a role while `act` is under way."""
    result = []
    thread = threading.Thread(target=lambda: result.append(act()))
    thread.start()
    time.sleep(delay)
    kill(platform, role)
    thread.join()
    assert result and result[0][0] < 300, f"the change was not taken: {result}"


def deploy_through(app, platform, role, delay):
    """A push through a kill. One whose client lost its server may have to be repeated, like any other."""
    commit = app.commit()
    push = app.push()
    time.sleep(delay)
    kill(platform, role)
    said, _ = push.communicate(timeout=120)
    answers(platform)
    wait_for("the build to end", 60, lambda: not app.ledger.unfinished_builds())
    if app.current_commit() != commit:
        assert role == "server" and push.returncode != 0, f"no release came of a push through a kill of {role}:\n{said}"
        again = app.push()
        said, _ = again.communicate(timeout=120)
        assert again.returncode == 0 and app.current_commit() == commit, said


def whole_after_all(platform, app):
    """A node that starts afresh finds what there is, and changes nothing."""
    before = snapshot(platform)
    dynos = dyno_processes(app)
    kill(platform, "node")
    answers(platform)
    left = settled_differences(platform, before)
    assert not left, "the machine after a fresh reconcile:\n" + "\n".join(left)
    assert dyno_processes(app) == dynos
    app.ledger.check()


# === logs ===


def test_numbered_lines_through_ten_kills():
    with Platform() as platform:
        app = App(platform, "lines")
        app.deploy()
        journal = Journal(platform, app.row["id"])
        app.scale(web=0, ticker=2)
        app.settle(ticker=2)
        begun = time.monotonic()
        for role in itertools.islice(itertools.cycle(("server", "node", "router")), 10 * SOAK_ROUNDS):
            kill(platform, role)
            answers(platform)
        killing = time.monotonic() - begun
        app.scale(ticker=0)
        app.settle(ticker=0)
        journal.stop()
        for ps, (lines, lost) in numbered_lines(journal).items():
            print(f"    {ps}: {lines} lines, {lost} told as lost", flush=True)
            assert lines > 2_500 * killing, f"{ps} wrote only {lines} in {killing:.1f} s"


def numbered_lines(journal):
    """Process to (lines, lost lines that an L12 told of); refuses gaps and repetitions that were not told."""
    last, counts, told = {}, {}, {}
    for platform_line, ps, text in journal.lines():
        if platform_line:
            if lost := re.match(r"Error L12: (\d+) messages dropped", text):
                told[ps] = told.get(ps, 0) + int(lost.group(1))
            continue
        if not (tick := re.match(r"tick (\d+)$", text)):
            continue
        number = int(tick.group(1))
        expected = last.get(ps, 0) + told.pop(ps, 0) + 1
        counts.setdefault(ps, [0, 0])
        if number != expected:
            raise Failed(f"{ps}: line {number} where {expected} should stand")
        counts[ps][1] += number - last.get(ps, 0) - 1
        counts[ps][0] += 1
        last[ps] = number
    return counts


# More than a dyno's segments hold.
BURST_LINES = 600_000


def soak_lines_that_nobody_could_take_are_counted():
    """While the server is away a dyno writes more than is kept: one L12 line with the exact number stands in the gap."""
    with Platform() as platform:
        app = App(platform, "burst")
        app.deploy()
        journal = Journal(platform, app.row["id"])
        app.configure(BURST=str(BURST_LINES))
        app.scale(web=0, ticker=1)
        app.settle(ticker=1)
        segments = platform.data / "node/dynos" / app.ledger.dynos(app.name)["ticker.1"][0] / "log"
        platform.stop()
        wait_for("the burst to be written", 120, lambda: max(int(file.stem) for file in segments.glob("*.seg")) > BURST_LINES * 0.9)
        platform.start()
        app.scale(ticker=0)
        app.settle(ticker=0)
        journal.stop()
        [(lines, lost)] = numbered_lines(journal).values()
        print(f"    {lines} lines, {lost} told as lost", flush=True)
        assert lost > BURST_LINES / 10 and lines > BURST_LINES / 10


# === builds outlive their clients and their server ===


def test_a_push_whose_client_is_killed_is_released():
    with Platform() as platform:
        app = App(platform, "gone", slow_build=True)
        commit = app.commit()
        push = app.push()
        read_until(push, "hook 3")
        os.killpg(push.pid, signal.SIGKILL)
        push.wait()
        wait_for("the release", 60, lambda: app.current_commit() == commit)
        app.serves()
        app.settle(web=1)


def test_a_build_outlives_the_server():
    with Platform() as platform:
        app = App(platform, "pickup", slow_build=True)
        commit = app.commit()
        push = app.push()
        read_until(push, "hook 3")
        kill(platform, "server")
        answers(platform)
        push.communicate(timeout=60)
        wait_for("the release", 60, lambda: app.current_commit() == commit)
        app.serves()
        app.settle(web=1)
        output = build_output(platform, app)
        hooks = re.findall(r"hook (\d+)\n", output)
        assert hooks == [str(n) for n in range(1, 31)], f"the output has gaps or repetitions:\n{output}"
        # The branch has moved: nothing is left to push.
        again = app.push()
        said, _ = again.communicate(timeout=60)
        assert "Everything up-to-date" in said, said


def build_output(platform, app):
    _, builds = platform.api("GET", f"/apps/{app.name}/builds")
    path = "/" + builds[-1]["output_stream_url"].split("://", 1)[1].split("/", 1)[1]
    return platform.api("GET", path)[1]


# === the whole platform stops and starts ===


def test_dynos_outlive_the_platform():
    with Platform() as platform:
        app = App(platform, "stays")
        app.deploy()
        app.settle(web=1)
        before, machine = dyno_processes(app), snapshot(platform)
        begun = time.monotonic()
        assert platform.stop() == 0, platform.operator_log()
        stopped = time.monotonic() - begun
        assert stopped < 30, f"the stop took {stopped:.1f} s"
        assert dyno_processes(app) == before
        gone = [thing for thing in differences(machine, snapshot(platform)) if not thing.startswith("- processes: role ")]
        assert not gone, "\n".join(gone)
        begun = time.monotonic()
        platform.start()
        ready = time.monotonic() - begun
        app.serves()
        serving = time.monotonic() - begun
        print(f"    stopped in {stopped:.2f} s, ready again in {ready:.2f} s, serving in {serving:.2f} s", flush=True)
        assert ready < 1, f"ready only after {ready:.2f} s"
        app.settle(web=1)
        assert dyno_processes(app) == before, "dynos were restarted"


def test_killed_whole_platform_comes_back():
    """All four processes at once, as when the machine's operator loses patience."""
    with Platform() as platform:
        app = App(platform, "all")
        app.deploy()
        app.settle(web=1)
        before = dyno_processes(app)
        for pid in [platform.process.pid, *platform.role_pids().values()]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        platform.process.wait()
        wait_for("the roles to be gone", 10, lambda: not platform.role_pids())
        (platform.data / "endpoints.json").unlink(missing_ok=True)
        platform.start()
        app.serves()
        app.settle(web=1)
        assert dyno_processes(app) == before, "dynos were restarted"


def test_a_lost_supervisor_costs_one_dyno():
    """The dyno that it held is ended, counted as crashed and replaced; its neighbour goes on."""
    with Platform() as platform:
        app = App(platform, "lost")
        app.deploy()
        app.scale(web=2)
        app.settle(web=2)
        machine = {kind: len(things) for kind, things in snapshot(platform).items()}
        before = dyno_processes(app)
        os.kill(before["web.1"][1][0], signal.SIGKILL)
        wait_for("another web.1", 30, lambda: app.ledger.dynos(app.name).get("web.1", before["web.1"])[0] != before["web.1"][0])
        app.settle(web=2)
        app.serves()
        after = dyno_processes(app)
        assert after["web.2"] == before["web.2"], f"{before} became {after}"
        wait_for(
            "the lost dyno's things to go", 20, lambda: {kind: len(things) for kind, things in snapshot(platform).items()} == machine
        )


def test_two_instances_do_not_meet():
    with Platform() as one, Platform() as two:
        apps = [App(platform, "twin") for platform in (one, two)]
        apps[0].deploy()
        apps[1].commit()
        apps[1].deploy()
        assert [app.page()[1] for app in apps] == ["deploy 1\n", "deploy 2\n"]
        here, there = (snapshot(platform) for platform in (one, two))
        for kind in ("mounts", "links", "cgroups", "processes", "dynos"):
            both = [thing for thing in here[kind] if thing in there[kind] and not thing.startswith("role ")]
            assert not both, f"both have {kind} {both}"
        cannot_reach(one, apps[0], address_of(apps[1]))
        one.stop()
        one.clear()
        left = settled_differences(two, there)
        assert not left, "removing one instance changed the other:\n" + "\n".join(left)
        apps[1].serves()


def address_of(app):
    [[address]] = app.ledger.rows("SELECT address FROM dyno WHERE process_type = 'web'")
    return address


def cannot_reach(platform, app, address):
    host, _, port = address.rpartition(":")
    reach = f"import socket; socket.create_connection(({host!r}, {port}), 3); print('reached it')"
    said = platform.heroku("run", "--no-tty", "-a", app.name, "--", "python3", "-c", reach)
    assert re.search("TimeoutError|ConnectionRefusedError|OSError", said.text), said.text
