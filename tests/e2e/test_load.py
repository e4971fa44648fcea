"""No request fails because of what an owner does to an app, or because a process of the platform is killed.

Load on two web dynos, meanwhile each change or kill is made `RENGA_SOAK_ROUNDS` times (5 without). Every answer must be of
a release that was current: the old one until the change began, the new one once it has settled, either in between.
"""

import collections
import json
import os
import pathlib
import re
import subprocess
import sys
import time

from app_under_test import App, answers, dyno_processes, insist, kill
from platform_under_test import RENGA, Failed, Platform, wait_for

ROUNDS = int(os.environ.get("RENGA_SOAK_ROUNDS", "5"))

# Tells which release it is, echoes the length of uploads, and answers slowly where it is asked to.
SERVER = """import http.server, os, signal, socket, sys, time
if "FAIL" in os.environ: sys.exit("no boot today")
LABEL = open("public/version.txt").read().strip() + " stamp " + os.environ.get("STAMP", "none")

class Server(http.server.ThreadingHTTPServer):
    address_family, daemon_threads, request_queue_size = socket.AF_INET6, True, 128

class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path == "/slow": time.sleep(0.3)
        if self.path == "/long": time.sleep(5)
        self.answer()
    def do_POST(self):
        assert len(self.rfile.read(int(self.headers["Content-Length"]))) == 65536
        self.answer()
    def answer(self):
        self.send_response(200); self.send_header("Content-Length", str(len(LABEL))); self.end_headers()
        self.wfile.write(LABEL.encode())
    def log_message(self, *_): pass

# At once: whoever is still being answered is cut off, which the router must not let happen.
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
Server(("::", int(os.environ["PORT"])), Page).serve_forever()
"""


class Load:
    """Load from the beginning to the end of a `with`; `changes` are what was done meanwhile."""

    def __init__(self, app):
        self.app, self.changes = app, []
        host = f"{app.name}.{app.platform.endpoints['domain']}"
        port = re.search(r":(\d+)", app.platform.endpoints["router"]).group(1)
        script = pathlib.Path(__file__).with_name("load_generator.py")
        self.process = subprocess.Popen(
            [sys.executable, script, port, host], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self):
        self.process.stdout.readline()
        return self

    def __exit__(self, *_):
        said, _ = self.process.communicate()
        self.records = [json.loads(line) for line in said.splitlines()]

    def change(self, what, do, label):
        """`label` says what the app's pages must be afterwards."""
        begun = time.monotonic()
        do()
        self.changes.append((what, begun, time.monotonic(), label))

    def judge(self, first_label, excused=()):
        """Refuses failures and answers of other releases; what overlaps a change named in `excused` may fail."""
        current = self.current(first_label)
        wrong = []
        for begun, ended, status, body, error in self.records:
            allowed = {label for since, until, label in current if begun <= until and ended >= since}
            during = [what for what, since, until, _ in self.changes if begun <= until and ended >= since]
            if (status != 200 and not set(excused) & set(during)) or (status == 200 and body not in allowed):
                wrong.append(f"{during or 'between two changes'}: {status} {body!r} {error or ''}, current: {sorted(allowed)}")
        if wrong:
            raise Failed(f"{len(wrong)} of {len(self.records)} requests went wrong:\n" + "\n".join(wrong[:20]))

    def current(self, first_label):
        """A label may be seen from the beginning of the change that brings it to the end of the one that replaces it."""
        begins = [(0.0, first_label), *((begun, label) for _, begun, _, label in self.changes)]
        ends = [*(settled for _, _, settled, _ in self.changes), time.monotonic()]
        return [(begun, end, label) for (begun, label), end in zip(begins, ends, strict=True)]

    def say(self):
        slowest = max(ended - begun for begun, ended, *_ in self.records)
        counts = collections.Counter(what for what, *_ in self.changes)
        failed = sum(status != 200 for _, _, status, *_ in self.records)
        told = ", ".join(f"{count} x {what}" for what, count in counts.items())
        print(f"figure: {told}: {len(self.records)} requests, {failed} failed, the slowest took {slowest:.2f} s", flush=True)


def app_under_load(platform, name):
    app = App(platform, name)
    (app.repository / "bin/server.py").write_text(SERVER)
    app.commit()
    push(app)
    app.scale(web=2)
    app.settle(web=2)
    return app


def push(app):
    process = app.push()
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said


def test_no_request_fails_when_an_app_is_changed():
    with Platform() as platform:
        app = app_under_load(platform, "load")
        label = f"deploy {app.deploys} stamp none"
        first = label
        with Load(app) as load:
            for number in range(ROUNDS):
                label = change_all(app, load, label, f"round-{number + 1}")
        load.judge(first)
        load.say()


def test_no_request_fails_when_a_process_of_the_platform_is_killed():
    """Only the router's own death may be felt, by those that it serves; no dyno is touched. Another app is busy all along."""
    with Platform() as platform:
        app, busy = app_under_load(platform, "steady"), App(platform, "busy")
        busy.deploy()
        busy.settle(web=1)
        before, label = dyno_processes(app), f"deploy {app.deploys} stamp none"
        with Load(app) as load:
            for number in range(ROUNDS):
                for role in ("server", "node", "server", "node", "router"):
                    load.change(f"kill of the {role}", lambda role=role: killed_while_busy(busy, role), label)
                    assert dyno_processes(app) == before, f"the death of the {role} has restarted a dyno"
                run_one_off(busy, number)
        load.judge(label, excused=["kill of the router"])
        load.say()


def killed_while_busy(busy, role):
    busy.configure(KILLS=f"{role} {time.monotonic_ns()}")
    kill(busy.platform, role)
    answers(busy.platform)


def run_one_off(app, number):
    done = app.platform.run(RENGA, "run", "--no-tty", "-a", app.name, "--", f"echo one-off {number}")
    assert f"one-off {number}" in done.ends().out


def change_all(app, load, label, stamp):
    """One of each; returns what the pages say at the end."""
    first, first_label, first_stamp = current_release(app), label, label.partition(" stamp ")[2]
    label = f"deploy {app.deploys + 1} stamp {first_stamp}"
    load.change("deploy", lambda: deploy(app), label)
    label = f"deploy {app.deploys} stamp {stamp}"
    load.change("config change", lambda: (app.configure(STAMP=stamp), app.settle(web=2)), label)
    load.change("restart", lambda: restart(app), label)
    load.change("scale up", lambda: (app.scale(web=4), app.settle(web=4)), label)
    load.change("scale down", lambda: (app.scale(web=2), app.settle(web=2)), label)
    load.change("failed boot", lambda: failed_boot(app), label)
    load.change("rollback", lambda: rollback(app, first), first_label)
    return first_label


def deploy(app):
    app.commit()
    push(app)
    app.settle(web=2)


def current_release(app):
    [[version]] = app.ledger.rows(
        "SELECT version FROM release JOIN app ON app.id = release.app WHERE app.name = ? AND current = 1", app.name
    )
    return version


def restart(app):
    before = set(dyno_ids(app))
    insist(lambda: app.platform.api("DELETE", f"/apps/{app.name}/dynos"))
    wait_for("other dynos", 60, lambda: not before & set(dyno_ids(app)) and len(dyno_ids(app)) == 2)
    app.settle(web=2)


def dyno_ids(app):
    return [dyno for dyno, _ in app.ledger.dynos(app.name).values()]


def failed_boot(app):
    """A release whose dynos crash at once changes nothing; the next one, without the cause, is served."""
    app.configure(FAIL="1")
    wait_for("the crash of the new release", 60, lambda: crashed(app))
    app.configure(FAIL=None)
    app.settle(web=2)


def crashed(app):
    said = app.platform.run(RENGA, "logs", "-n", "100", "-a", app.name).out
    return re.search(r"app\[web\.\d\]: no boot today", said)


def rollback(app, version):
    status, said = insist(lambda: app.platform.api("POST", f"/apps/{app.name}/releases", {"release": f"v{version}"}))
    assert status == 201, said
    app.settle(web=2)
