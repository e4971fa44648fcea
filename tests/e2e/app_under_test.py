"""An app on a platform under test, and what is done to both from outside."""

import http.client
import json
import os
import signal
import socket
import subprocess
import time

from machine import Ledger, differences, snapshot
from platform_under_test import Failed, wait_for

# Prints numbered lines without end: a batch of 50 every $TICK_SECONDS, and once, after five seconds, $BURST at once.
TICKER = """import os, sys, time
number, due, every = 0, time.monotonic(), float(os.environ.get("TICK_SECONDS", 0.01))
burst, burst_at = int(os.environ.get("BURST", 0)), due + 5
while True:
    batch = 50
    if burst and due > burst_at:
        batch, burst = burst, 0
    sys.stdout.write("".join(f"tick {n}\\n" for n in range(number + 1, number + 1 + batch)))
    sys.stdout.flush()
    number, due = number + batch, due + every
    time.sleep(max(0, due - time.monotonic()))
"""


class App:
    """An app without a build to speak of, whose page says which deploy it is."""

    def __init__(self, platform, name, slow_build=False, **process_types):
        self.platform, self.name, self.deploys = platform, name, 0
        self.ledger = Ledger(platform)
        self.repository = platform.repository("procfile", f"repository-{name}-{time.monotonic_ns()}")
        types = {"web": "exec python3 bin/server.py", "ticker": "exec python3 bin/ticker.py", **process_types}
        (self.repository / "Procfile").write_text("".join(f"{name}: {command}\n" for name, command in types.items()))
        (self.repository / "bin/ticker.py").write_text(TICKER)
        if slow_build:
            self.add_slow_build()
        status, self.row = platform.api("POST", "/apps", {"name": name})
        assert status == 201, self.row

    def add_slow_build(self):
        """Python of the stack, nothing to install, and a hook that takes its time."""
        (self.repository / "requirements.txt").write_text("")
        (self.repository / ".python-version").write_text("3.13\n")
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
        except (OSError, IndexError, ValueError) as error:
            # Nobody listens, or the answer was torn.
            return 0, repr(error)

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
        if quantities and (wanted != set(dynos) or any(state != "up" for _, state in dynos.values())):
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


def dyno_processes(app):
    """Name to (dyno id, (pid of its supervisor, pid of its first process)): a restart shows in either."""
    running = {}
    for name, (dyno, state) in app.ledger.dynos(app.name).items():
        if state == "exited":
            continue
        state = json.loads((app.platform.data / "node/dynos" / dyno / "state.json").read_text())
        running[name] = (dyno, (state["supervisor_pid"], state["init_pid"]))
    return running


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


def read_until(push, text):
    seen = ""
    while text not in seen:
        line = push.stdout.readline()
        if not line:
            raise Failed(f"the push ended before {text!r}:\n{seen}")
        seen += line
