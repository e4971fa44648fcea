"""`tables`: 10,000 apps and 100 changes a second: when each is visible on the wire, and what that costs."""

import http.client
import json
import re
import socket
import sqlite3
import subprocess
import threading
import time
import uuid

from bench import Failed, Row, bare_app, bench_platform, cpu_seconds, ms, note, pss_megabytes, wait_for

APPS = 10_000
CHANGES_PER_S = 100
CHANGERS = 10
SECONDS = 10
ROUNDS = 3
VISIBLE_MS = 200
# Between two looks at the wire.
LOOK_S = 0.002
CONNECTIONS = 16


def tables_bench():
    with bench_platform() as platform:
        app = bare_app(platform, "bench-hello", "web: bin/hello\n", "hello")
        wait_for("the app's answer", 30, lambda: platform.get(app)[0] == 200)
        platform.stop()
        populate(platform.data / "ledger/ledger.db", app)
        platform.start()
        wait_for("the app's answer", 60, lambda: platform.get(app)[0] == 200)
        wait_for("the last app", 60, lambda: platform.get(name(APPS - 1))[0] == 502)
        tokens = [token(platform) for _ in range(CHANGERS)]
        pids, host = platform.role_pids(), f"{app}.{platform.endpoints['domain']}"
        port = int(platform.endpoints["router"].rsplit(":", 1)[1])
        quiet, busy, delays, server = [], [], [], []
        wrk(port, host, 2)
        for _ in range(ROUNDS):
            quiet.append(round_of(pids["router"], lambda: wrk(port, host, SECONDS)))
            before = cpu_seconds(pids["server"])
            with Changers(platform, tokens, port, delays):
                busy.append(round_of(pids["router"], lambda: wrk(port, host, SECONDS)))
            server.append((cpu_seconds(pids["server"]) - before) / SECONDS)
        with Changers(platform, tokens, port, alone := []):
            before = cpu_seconds(pids["router"])
            time.sleep(SECONDS)
            router = (cpu_seconds(pids["router"]) - before) / SECONDS
        memory = [pss_megabytes(pids[role]) for role in ("router", "server")]
    middle = lambda rounds, n: sorted(each[n] for each in rounds)[len(rounds) // 2]  # noqa: E731
    say = lambda times: f"p50 {at(times, 50):.1f}, p99 {at(times, 99):.1f}; {len(times)} changes"  # noqa: E731
    rows = [
        Row("tables: from the change's answer to the wire, longest, traffic meanwhile", max(delays), "ms", target=VISIBLE_MS, text=say(delays)),
        Row("tables: the same without traffic", max(alone), "ms", target=VISIBLE_MS, text=say(alone)),
        Row(
            f"tables: CPU per request while {CHANGES_PER_S} apps a second change",
            middle(busy, 0),
            "us",
            peer=middle(quiet, 0),
            peer_name="no changes",
            text=f"{middle(busy, 1):.0f} requests/s against {middle(quiet, 1):.0f}, p99 {middle(busy, 2):.1f} against {middle(quiet, 2):.1f} ms",
        ),
        Row("tables: CPU of the router for the changes and those who look", router * 100, "% of a core"),
        Row("tables: CPU of the server, changes by the API and request lines", sorted(server)[len(server) // 2] * 100, "% of a core"),
        Row("tables: PSS of the router", memory[0], "MB", text=f"server {memory[1]:.0f}"),
    ]
    return rows


def name(n):
    return f"bench-{n:05}"


def at(times, percent):
    return sorted(times)[len(times) * percent // 100]


def populate(ledger, model):
    """Rows of apps like the first, never deployed, and of a custom name each: their pages tell what the router knows."""
    with sqlite3.connect(ledger) as db:
        db.row_factory = sqlite3.Row
        like = dict(db.execute("SELECT * FROM app WHERE name = ?", [model]).fetchone())
        columns = ", ".join(like)
        marks = ", ".join("?" for _ in like)
        now = like["created_at"]
        for n in range(APPS):
            row = {**like, "id": uuid.uuid4().bytes, "name": name(n), "slug_bytes": None, "released_at": None}
            db.execute(f"INSERT INTO app ({columns}) VALUES ({marks})", list(row.values()))
            domain = [uuid.uuid4().bytes, row["id"], f"{name(n)}.example.com", now, now]
            db.execute("INSERT INTO domain (id, app, hostname, created_at, updated_at) VALUES (?, ?, ?, ?, ?)", domain)
    note(f"{APPS} apps")


def token(platform):
    made = platform.api.call("POST", "/oauth/authorizations", {"description": "bench", "scope": ["global"]})
    return made["access_token"]["token"]


def round_of(pid, load):
    """CPU microseconds per request, requests per second, p99 in ms."""
    before = cpu_seconds(pid)
    requests, p99 = load()
    return (cpu_seconds(pid) - before) / requests * 1e6, requests / SECONDS, p99


def wrk(port, host, seconds):
    words = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-H", f"Host: {host}", f"http://127.0.0.1:{port}/"]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    if re.search(r"Non-2xx|Socket errors", said):
        raise Failed(said)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", said)
    return int(re.search(r"(\d+) requests in", said)[1]), float(p99[1]) * {"us": 0.001, "ms": 1, "s": 1000}[p99[2]]


class Changers:
    """Switch maintenance mode of one app after another, so many a second in all, and look until it is seen."""

    def __init__(self, platform, tokens, port, delays):
        self.host, self.domain, self.port = platform.api.host, platform.endpoints["domain"], port
        self.delays, self.failed, self.over = delays, [], threading.Event()
        self.threads = [threading.Thread(target=self.run, args=each) for each in enumerate(tokens)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()
        if self.failed:
            raise Failed(self.failed[0])
        note(f"{len(self.delays)} changes so far, the longest was seen after {max(self.delays):.0f} ms")

    def run(self, client, token):
        try:
            api = http.client.HTTPConnection(self.host, timeout=60)
            wire = socket.create_connection(("127.0.0.1", self.port))
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            begin, pause = time.monotonic() + client / CHANGES_PER_S, CHANGERS / CHANGES_PER_S
            n = 0
            while not self.over.is_set():
                time.sleep(max(0, begin + n * pause - time.monotonic()))
                self.delays.append(self.change(api, wire, token, name((client + n * CHANGERS) % APPS)))
                n += 1
        except Exception as error:  # it is told by the thread that waits for this one
            self.failed.append(f"changer {client}: {error!r}")

    def change(self, api, wire, token, app):
        headers = {"Accept": "application/vnd.heroku+json; version=3", "Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        on = look(wire, f"{app}.{self.domain}") == 502
        api.request("PATCH", f"/apps/{app}", json.dumps({"maintenance": on}), headers)
        answer = api.getresponse()
        answer.read()
        if answer.status != 200:
            raise Failed(f"{answer.status}")
        begin = time.monotonic()
        while (look(wire, f"{app}.{self.domain}") == 503) != on:
            if time.monotonic() - begin > 10:
                raise Failed(f"{app} did not change in 10 s")
            time.sleep(LOOK_S)
        return ms(time.monotonic() - begin)


def look(wire, host):
    """The status of the app's page."""
    wire.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    got = b""
    while b"\r\n\r\n" not in got:
        got += received(wire)
    head, body = got.split(b"\r\n\r\n", 1)
    length = int(re.search(rb"content-length: (\d+)", head, re.I)[1])
    while len(body) < length:
        body += received(wire)
    return int(head.split(b" ")[1])


def received(wire):
    got = wire.recv(65536)
    if not got:
        raise Failed("the router hung up")
    return got
