"""Every process is killed at every kind of moment; nothing may be lost, doubled, left behind or restarted for it.

`RENGA_SOAK=1` repeats the kills with other delays (see `SOAK_ROUNDS`).
"""

import http.client
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time

from machine import Journal, Ledger, differences, snapshot
from platform_under_test import Failed, Platform, wait_for

SOAK_ROUNDS = 10 if os.environ.get("RENGA_SOAK") else 1
ROLES = ("node", "server", "router")
# Prints numbered lines without end: a batch of 50 every 10 ms.
TICKER = """import sys, time
number, due = 0, time.monotonic()
while True:
    sys.stdout.write("".join(f"tick {n}\\n" for n in range(number + 1, number + 51)))
    sys.stdout.flush()
    number, due = number + 50, due + 0.01
    time.sleep(max(0, due - time.monotonic()))
"""


class App:
    """An app without a build to speak of, whose page says which deploy it is."""

    def __init__(self, platform, name, slow_build=False):
        self.platform, self.name, self.deploys = platform, name, 0
        self.ledger = Ledger(platform)
        self.repository = platform.repository("procfile", f"repository-{name}-{time.monotonic_ns()}")
        (self.repository / "Procfile").write_text("web: exec python3 bin/server.py\nticker: exec python3 bin/ticker.py\n")
        (self.repository / "bin/ticker.py").write_text(TICKER)
        if slow_build:
            self.add_slow_build()
        status, self.row = platform.api("POST", "/apps", {"name": name})
        assert status == 201, self.row

    def add_slow_build(self):
        """Python of the stack, nothing to install, and a hook that takes its time."""
        (self.repository / "requirements.txt").write_text("")
        hook = self.repository / "bin/post_compile"
        hook.write_text('#!/bin/bash\nfor n in $(seq 30); do echo "hook $n"; sleep 0.1; done\n')
        hook.chmod(0o755)

    def commit(self):
        self.deploys += 1
        (self.repository / "public/version.txt").write_text(f"deploy {self.deploys}\n")
        self.platform.commit(self.repository, f"Deploy {self.deploys}")
        return self.platform.git("rev-parse", "HEAD", cwd=self.repository).ends().out.strip()

    def push(self):
        """In the background, in a process group of its own."""
        return subprocess.Popen(
            ["git", "push", self.platform.git_url(self.name), "HEAD:refs/heads/main"],
            cwd=self.repository,
            env=self.platform.env(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def deploy(self):
        self.commit()
        push = self.push()
        said, _ = push.communicate(timeout=120)
        assert push.returncode == 0, said
        self.serves()
        return said

    def serves(self, seconds=30):
        """The page of the newest deploy."""
        wanted = (200, f"deploy {self.deploys}\n")
        wait_for(f"the page of deploy {self.deploys} of {self.name}", seconds, lambda: self.page() == wanted)

    def page(self):
        try:
            return self.platform.get(self.name, "/version.txt", timeout=10)
        except OSError as error:
            return 0, str(error)

    def scale(self, **quantities):
        updates = [{"type": kind, "quantity": quantity} for kind, quantity in quantities.items()]
        return insist(lambda: self.platform.api("PATCH", f"/apps/{self.name}/formation", {"updates": updates}))

    def configure(self, **config):
        return insist(lambda: self.platform.api("PATCH", f"/apps/{self.name}/config-vars", config))

    def current_commit(self):
        rows = self.ledger.rows(
            "SELECT source_commit FROM app JOIN release ON release.app = app.id JOIN slug ON slug.id = release.slug"
            " WHERE app.name = ? AND current = 1",
            self.name,
        )
        return rows[0][0] if rows else None

    def settle(self, seconds=60, **quantities):
        """Until rows and node agree and exactly the wanted dynos of the current release are up."""
        unsettled = ["nothing was seen"]

        def look():
            unsettled[0] = self.ledger.settled() or self.not_as_wanted(quantities)
            return unsettled[0] is None

        try:
            wait_for("everything to settle", seconds, look, every=0.1)
        except Failed as failed:
            raise Failed(f"{failed}: {unsettled[0]}\n{self.platform.operator_log()[-6000:]}") from None
        self.ledger.check()

    def not_as_wanted(self, quantities):
        wanted = {f"{kind}.{n + 1}" for kind, quantity in quantities.items() for n in range(quantity)}
        dynos = self.ledger.dynos(self.name)
        if wanted and (wanted != set(dynos) or any(state != "up" for _, state in dynos.values())):
            return f"wanted {sorted(wanted)}, have {dynos}"
        old = self.ledger.rows(
            "SELECT process_type, number FROM dyno JOIN app ON app.id = dyno.app JOIN release ON release.id = dyno.release"
            " WHERE app.name = ? AND kind = 'formation' AND current = 0",
            self.name,
        )
        return f"dynos of an old release: {old}" if old else None

    def destroy(self):
        status, said = insist(lambda: self.platform.api("DELETE", f"/apps/{self.name}"))
        assert status == 200, said
        wait_for("the app to go", 60, lambda: not self.ledger.rows("SELECT 1 FROM app WHERE id = ?", self.id_bytes()))
        wait_for("everything to settle", 30, lambda: not self.ledger.settled())

    def id_bytes(self):
        return bytes.fromhex(self.row["id"].replace("-", ""))


def insist(ask, seconds=30):
    """Asks again while nobody answers: what was asked for may be asked for twice."""

    def once():
        try:
            status, answer = ask()
        except (OSError, http.client.HTTPException):
            return None
        return None if status in (502, 503) else (status, answer)

    return wait_for("an answer of the API", seconds, once)


def kill(platform, role):
    """`kill -9`, and waits until another one has been started by `renga up`."""
    victim = platform.role_pids()[role]
    os.kill(victim, signal.SIGKILL)
    wait_for(f"a new {role}", 30, lambda: platform.role_pids().get(role, victim) != victim)


def answers(platform):
    """Waits until all three roles do their work again."""
    insist(lambda: platform.api("GET", "/account"))
    wait_for("the router", 20, lambda: reached(platform))
    node = platform.data / "node/run/node.sock"
    wait_for("the node", 20, lambda: connects(node))


def reached(platform):
    try:
        return platform.get("no-such-app")[0]
    except OSError:
        return None


def connects(path):
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            return True
    except OSError:
        return False


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


def test_kills_leave_nothing_behind():
    with Platform() as platform:
        baseline = before_any_app(platform)
        app = App(platform, "kills")
        app.deploy()
        app.scale(web=2)
        app.settle(web=2)
        run_points(platform, app)
        whole_after_all(platform, app)
        app.destroy()
        left = settled_differences(platform, baseline)
        assert not left, "\n".join(left)


def before_any_app(platform):
    """After one app has come and gone: what is made once and kept has been made."""
    app = App(platform, "first")
    app.deploy()
    app.destroy()
    kill(platform, "node")
    answers(platform)
    return snapshot(platform)


def settled_differences(platform, before):
    """Removal goes on in the background for a moment: the differences that stay."""
    left = []

    def same():
        left[:] = differences(before, snapshot(platform))
        return not left

    try:
        wait_for("no differences", 20, same, every=0.2)
    except Failed:
        pass
    return left


def run_points(platform, app):
    load = Load(app)
    chance = random.Random(4711)
    usual = {"deploy": usual_time(app.deploy), "scale": 0.3, "config": 1.0, "load": 0.0}
    try:
        for what, role, part in points() * SOAK_ROUNDS:
            delay = usual[what] * (part if SOAK_ROUNDS == 1 else chance.random())
            begun = time.monotonic()
            one_point(platform, app, what, role, delay)
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


def dyno_processes(app):
    """Name to (dyno id, pids of its cgroup): a restart shows in either."""
    running = {}
    for name, (dyno, _) in app.ledger.dynos(app.name).items():
        state = (app.platform.data / "node/dynos" / dyno / "state.json").read_text()
        running[name] = (dyno, tuple(re.findall(r"pid[a-z_]*\": *(\d+)", state)))
    return running


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
        for role in (("server", "node", "router") * 4)[: 10 * SOAK_ROUNDS]:
            kill(platform, role)
            answers(platform)
        app.scale(ticker=0)
        app.settle()
        # The last words of the platform come after all lines of the dynos.
        wait_for("the dynos' directories to go", 20, lambda: not list((platform.data / "node/dynos").iterdir()))
        journal.stop()
        for ps, (lines, lost) in numbered_lines(journal).items():
            print(f"    {ps}: {lines} lines, {lost} told as lost", flush=True)
            assert lines > 20_000, f"{ps} wrote only {lines}"


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


def read_until(push, text):
    seen = ""
    while text not in seen:
        line = push.stdout.readline()
        if not line:
            raise Failed(f"the push ended before {text!r}:\n{seen}")
        seen += line


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
