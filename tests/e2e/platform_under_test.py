"""A whole platform for one test: its own data directory, free ports, ended and cleared away whatever happens.

The processes are the real ones (`renga up` with node, server, router), the clients too (git, the official CLI, curl).
"""

import http.client
import json
import os
import pathlib
import pty
import re
import select
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
RENGA = pathlib.Path(os.environ.get("RENGA_BIN", ROOT / "target" / "release" / "renga"))
HEROKU = os.environ.get("HEROKU_BIN", "heroku")


# Where every call of the official CLI is written down, if anywhere: one JSON object a line.
TRANSCRIPT = os.environ.get("RENGA_CLI_TRANSCRIPT")

COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Failed(AssertionError):
    """A check that did not hold, with what was seen."""


def wait_for(what, seconds, look, every=0.05):
    """Looks until `look()` gives something true, and returns it."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise Failed(f"waited {seconds} s for {what}")
        time.sleep(every)


def free_ports(count):
    """Ports that nobody has now; all are held until the last one is known, so that they differ."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in held]
    for listener in held:
        listener.close()
    return ports


class Result:
    def __init__(self, args, code, out, err):
        self.args, self.code, self.out, self.err = args, code, out, err
        # Colours are for people.
        self.text = COLOUR.sub("", out + err)
        write_down(args, code, self.text)

    def says(self, *patterns):
        for pattern in patterns:
            if not re.search(pattern, self.text, re.M):
                raise Failed(f"{shlex.join(self.args)}: nothing like {pattern!r} in\n{self.text}")
        return self

    def ends(self, code=0):
        if self.code != code:
            raise Failed(f"{shlex.join(self.args)} ended with {self.code}, not {code}:\n{self.text}")
        return self


def write_down(args, code, text):
    if not TRANSCRIPT or not any(os.path.basename(word) == "heroku" for word in args):
        return
    words = args[next(n for n, word in enumerate(args) if os.path.basename(word) == "heroku") + 1 :]
    with open(TRANSCRIPT, "a", encoding="utf-8") as file:
        file.write(json.dumps({"words": words, "code": code, "text": text}) + "\n")


class Platform:
    def __init__(self, *flags, data=None, program=RENGA):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="renga-e2e-"))
        # Dynos reach their folders through this one.
        self.home.chmod(0o711)
        self.data = data or self.home / "data"
        self.user_home = self.home / "user"
        self.user_home.mkdir()
        self.flags = list(flags)
        self.program = program
        self.process = None
        # The same ports for the whole life: a role that is started again is found where it was.
        names = ("api", "api-tls", "router", "router-tls", "rendezvous")
        self.ports = [word for name, port in zip(names, free_ports(len(names))) for word in (f"--{name}", f"127.0.0.1:{port}")]

    # === life ===

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
        self.clear()

    def start(self):
        self.log = open(self.home / "renga.log", "ab")
        self.process = subprocess.Popen(
            [self.program, "up", "--data-dir", self.data, *self.ports, *self.flags], stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL
        )
        self.endpoints = wait_for("endpoints.json", 30, self._read_endpoints)
        return self

    def _read_endpoints(self):
        if self.process.poll() is not None:
            raise Failed(f"renga up ended with {self.process.returncode}:\n{self.operator_log()}")
        try:
            return json.loads((self.data / "endpoints.json").read_text())
        except (OSError, ValueError):
            return None

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                return self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise Failed("renga up did not end within 30 s of SIGTERM") from None
        return None

    def clear(self):
        """Ends what outlives the platform on purpose (dynos) and frees mounts, networks and cgroups."""
        subprocess.run([RENGA, "uninstall", "--yes", "--data-dir", self.data], check=False, capture_output=True)
        shutil.rmtree(self.home, ignore_errors=True)

    def operator_log(self):
        return (self.home / "renga.log").read_text(errors="replace")

    def role_pids(self):
        """Role name to pid, of this platform's processes; of two routers the younger one."""
        found = {}
        for entry in sorted(pathlib.Path("/proc").glob("[1-9]*"), key=lambda entry: int(entry.name)):
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if len(words) > 2 and words[0].endswith(b"renga") and os.fsencode(self.data) in words:
                found[int(entry.name)] = (words[1].decode(), parent)
        # A child of a role that has not yet become what it is going to be looks like its parent.
        return {role: pid for pid, (role, parent) in found.items() if found.get(parent, ("", 0))[0] != role}

    def instance(self):
        """The id that the names of everything on this machine carry."""
        return json.loads((self.data / "instance.json").read_text())["id"]

    # === clients ===

    def token(self):
        return (self.data / "secrets/token").read_text().strip()

    def api(self, method, path, body=None, headers=None, timeout=60):
        """One request to the API; returns (status, JSON or text). `body` is bytes, or something to be sent as JSON."""
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {
            "Accept": "application/vnd.heroku+json; version=3",
            "Content-Type": "application/json",
            "Authorization": f"Bearer {self.token()}",
            **(headers or {}),
        }
        sent = {name: value for name, value in sent.items() if value is not None}
        connection = http.client.HTTPConnection(self.endpoints["api"].partition("://")[2], timeout=timeout)
        try:
            connection.request(method, path, content, sent)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        finally:
            connection.close()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text

    def git_url(self, app):
        """With the token inside: nothing asks for it."""
        return f"https://x:{self.token()}@{self.endpoints['api_tls'].partition('://')[2]}/{app}.git"

    def env(self, token=True):
        command = [RENGA, "env", "--data-dir", self.data] + ([] if token else ["--no-token"])
        text = subprocess.run(command, check=True, capture_output=True, text=True, env=self._bare_env()).stdout
        env = self._bare_env()
        for line in text.splitlines():
            if line.startswith("export "):
                name, _, value = line[len("export "):].partition("=")
                env[name] = "".join(shlex.split(value))
        return env

    def _bare_env(self):
        return {
            "HOME": str(self.user_home),
            "PATH": os.pathsep.join([str(pathlib.Path(HEROKU).parent), str(RENGA.parent), os.environ["PATH"]]),
            "TERM": "dumb",
            "LANG": "C.UTF-8",
            **{k: v for k, v in os.environ.items() if k in ("NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE")},
            "GIT_AUTHOR_NAME": "Test",
            "GIT_AUTHOR_EMAIL": "test@example.com",
            "GIT_COMMITTER_NAME": "Test",
            "GIT_COMMITTER_EMAIL": "test@example.com",
        }

    def run(self, *args, cwd=None, token=True, timeout=300, stdin=None):
        done = subprocess.run(
            [str(arg) for arg in args],
            cwd=cwd or self.home,
            env=self.env(token),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
        )
        return Result([str(arg) for arg in args], done.returncode, done.stdout, done.stderr)

    def heroku(self, *args, **kwargs):
        return self.run(HEROKU, *args, **kwargs)

    def git(self, *args, **kwargs):
        return self.run("git", *args, **kwargs)

    def terminal(self, *args, cwd=None, token=True):
        return Terminal([str(arg) for arg in args], cwd or self.home, self.env(token))

    def get(self, app, path="/", tls=False, headers=None, timeout=80):
        """One request through the router; returns (status, body)."""
        url = self.endpoints["router_tls" if tls else "router"]
        host, port = re.match(r"https?://([^:]+):(\d+)", url).groups()
        name = f"{app}.{self.endpoints['domain']}"
        raw = socket.create_connection(("127.0.0.1", int(port)), timeout=timeout)
        if tls:
            raw = ssl.create_default_context(cafile=self.endpoints["ca"]).wrap_socket(raw, server_hostname=name)
        with raw:
            lines = [f"GET {path} HTTP/1.1", f"Host: {name}", "Connection: close"]
            lines += [f"{k}: {v}" for k, v in (headers or {}).items()]
            raw.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
            answer = b""
            while chunk := raw.recv(65536):
                answer += chunk
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), body.decode(errors="replace")

    def repository(self, example, name=None):
        """A fresh git repository with an example's files."""
        target = self.home / (name or example)
        shutil.copytree(ROOT / "examples" / example, target, ignore=shutil.ignore_patterns("node_modules", "__pycache__", ".venv"))
        self.git("init", "-q", "-b", "main", cwd=target).ends()
        self.commit(target, "First commit")
        return target

    def commit(self, repository, message):
        self.git("add", "-A", cwd=repository).ends()
        self.git("commit", "-q", "--allow-empty", "-m", message, cwd=repository).ends()


class Terminal:
    """A command in a pseudo-terminal, as a person has it."""

    def __init__(self, args, cwd, env):
        self.seen = ""
        self.args = args
        write_down(args, None, "")
        pid, self.fd = pty.fork()
        if pid == 0:
            os.chdir(cwd)
            os.execvpe(args[0], args, {**env, "TERM": "xterm"})
        self.pid = pid

    def read(self, seconds):
        ready, _, _ = select.select([self.fd], [], [], seconds)
        if not ready:
            return False
        try:
            chunk = os.read(self.fd, 65536)
        except OSError:
            return None
        self.seen = COLOUR.sub("", self.seen + chunk.decode(errors="replace"))
        return bool(chunk) or None

    def until(self, pattern, seconds=60):
        """Reads until something like `pattern` was seen after the last match."""
        deadline = time.monotonic() + seconds
        while not (match := re.search(pattern, self.seen)):
            if time.monotonic() > deadline or self.read(0.2) is None:
                raise Failed(f"{shlex.join(self.args)}: nothing like {pattern!r} in\n{self.seen}")
        before, self.seen = self.seen[: match.end()], self.seen[match.end():]
        return before

    def type(self, text):
        os.write(self.fd, text.encode())

    def ends(self, code=0, seconds=60):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.read(0.1) is None:
                break
        _, status = os.waitpid(self.pid, 0)
        got = os.waitstatus_to_exitcode(status)
        os.close(self.fd)
        if got != code:
            raise Failed(f"{shlex.join(self.args)} ended with {got}, not {code}:\n{self.seen}")
        return self

    def ends_somehow(self, seconds=60):
        """With whatever code; the rest of what it said is in `seen`."""
        deadline = time.monotonic() + seconds
        while self.read(0.1) is not None:
            if time.monotonic() > deadline:
                self.kill()
                raise Failed(f"{shlex.join(self.args)} goes on and on:\n{self.seen}")
        os.waitpid(self.pid, 0)
        os.close(self.fd)

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)
