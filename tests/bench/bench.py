"""What all benches share: rows of the table, times, processes, and a client of the Platform API."""

import datetime
import http.client
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))

from platform_under_test import Failed, Platform, wait_for  # noqa: E402

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def note(text):
    """Progress; the table itself goes to standard output."""
    print(f"       {text}", file=sys.stderr, flush=True)


# === figures ===


class Row:
    """One line of the table. `value`, `target` and `peer` are numbers in `unit`; less is better everywhere."""

    def __init__(self, figure, value, unit, target=None, peer=None, peer_name="", text=""):
        self.figure, self.value, self.unit = figure, value, unit
        self.target, self.peer, self.peer_name, self.text = target, peer, peer_name, text

    def met(self):
        return None if self.target is None else self.value < self.target

    def cells(self):
        show = lambda number: "" if number is None else f"{number:.{decimals(number)}f}"  # noqa: E731
        verdict = {None: "", True: "met", False: "MISSED"}[self.met()]
        target = "" if self.target is None else f"< {self.target:g}"
        peer = "" if self.peer is None else f"{self.peer_name} {show(self.peer)}"
        ratio = "" if not self.peer else f"{self.value / self.peer:.2f}"
        return [self.figure, show(self.value), self.unit, target, verdict, peer, ratio, self.text]


def decimals(number):
    return 0 if number >= 100 else 1 if number >= 10 else 2


def median(values):
    return statistics.median(values)


def ms(seconds):
    return seconds * 1000


def spread(values):
    """For the notes: least and greatest."""
    return f"{min(values):.{decimals(min(values))}f} to {max(values):.{decimals(max(values))}f}, {len(values)} runs"


# === processes ===


def cpu_seconds(pid):
    """User and system time of a process with all its threads."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def pss_megabytes(pid):
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+) kB", text, re.M).group(1)) / 1024


# === the platform ===


class Api:
    """The Platform API, with the platform's own token."""

    def __init__(self, platform):
        self.host = urllib.parse.urlsplit(platform.endpoints["api"]).netloc
        self.token = pathlib.Path(platform.endpoints["token_file"]).read_text().strip()

    def call(self, method, path, body=None):
        connection = http.client.HTTPConnection(self.host, timeout=60)
        headers = {
            "Accept": "application/vnd.heroku+json; version=3",
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
        }
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        if answer.status >= 300:
            raise Failed(f"{method} {path}: {answer.status} {text}")
        return json.loads(text) if text else None

    def log(self, app):
        """The app's log as (seconds of the wall clock, name, text)."""
        session = self.call("POST", f"/apps/{app}/log-sessions", {"lines": 1500, "tail": False})
        url = urllib.parse.urlsplit(session["logplex_url"])
        connection = http.client.HTTPConnection(self.host, timeout=60)
        connection.request("GET", f"{url.path}?{url.query}")
        lines = connection.getresponse().read().decode(errors="replace").splitlines()
        connection.close()
        found = (re.match(r"(\S+) (\w+\[[^\]]+\]): (.*)", line) for line in lines)
        return [(datetime.datetime.fromisoformat(m[1]).timestamp(), m[2], m[3]) for m in found if m]

    def wait_for_line(self, app, name, pattern, since, seconds=30):
        """The first line of `name` not older than `since` with `pattern` in it: (time, match)."""

        def look():
            for at, source, text in self.log(app):
                match = at >= since and re.fullmatch(name, source) and re.search(pattern, text)
                if match:
                    return at, match
            return None

        return wait_for(f"{pattern!r} of {name} in the log of {app}", seconds, look, every=0.1)


def push(platform, repository, app):
    """`git push` with a clock at every chunk that the pusher reads: (seconds, text so far) until its end."""
    chunks, text = [], ""
    process = subprocess.Popen(
        ["git", "push", "heroku", "main"], cwd=repository, env=platform.bench_env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    while chunk := os.read(process.stderr.fileno(), 65536):
        text += chunk.decode(errors="replace")
        chunks.append((time.time(), text))
        yield chunks
    if process.wait() != 0:
        raise Failed(f"git push of {app} ended with {process.returncode}:\n{text}")


def moment(chunks, pattern):
    """When the pusher had read something like `pattern`."""
    for at, text in chunks:
        if re.search(pattern, text):
            return at
    raise Failed(f"nothing like {pattern!r} in\n{chunks[-1][1] if chunks else ''}")


def push_through(platform, repository, app):
    for chunks in push(platform, repository, app):
        pass
    return chunks


def bench_platform():
    """A platform whose `with` block gives it an environment of clients and an API client once and for all."""

    class BenchPlatform(Platform):
        def start(self):
            super().start()
            self.bench_env = self.env()
            self.api = Api(self)
            return self

        def app(self, name, repository):
            """An app to which the repository's remote `heroku` leads."""
            app = self.api.call("POST", "/apps", {"name": name})
            url = app["git_url"].replace("https://", f"https://bench:{self.api.token}@")
            self.git("remote", "add", "heroku", url, cwd=repository).ends()
            return name

        def scale(self, app, **quantities):
            updates = [{"type": kind, "quantity": quantity} for kind, quantity in quantities.items()]
            self.api.call("PATCH", f"/apps/{app}/formation", {"updates": updates})

    return BenchPlatform()


def compiled(program, folder):
    """One of our small programs, static, so that it runs on every stack."""
    target = folder / program
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["rustc", "-O", "--edition", "2024", "-C", "target-feature=+crt-static", "-C", "panic=abort", "-C", "strip=symbols"]
        + ["-o", target, HERE / "programs" / f"{program}.rs"],
        check=True,
    )
    return target


def bare_app(platform, name, procfile, *programs):
    """An app of our own programs and a Procfile, deployed."""
    repository = platform.home / name
    for program in programs:
        compiled(program, repository / "bin")
    repository.mkdir(parents=True, exist_ok=True)
    (repository / "Procfile").write_text(procfile)
    platform.git("init", "-q", "-b", "main", cwd=repository).ends()
    platform.commit(repository, "First commit")
    app = platform.app(name, repository)
    push_through(platform, repository, app)
    return app
