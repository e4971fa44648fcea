"""`renga connect`, both modes, with the unmodified official CLI: a platform that is called by another name than localhost,
a machine that is signed in to Heroku as well, and whatever else comes to the local port.
"""

import hashlib
import json
import os
import re
import shlex
import signal
import socket
import ssl
import subprocess
import threading

from platform_under_test import HEROKU, RENGA, Failed, Platform, Result, free_ports, wait_for

# Addressed in a way that `localhost` is not: links must name it, and go over TLS.
PUBLIC_HOST = "127.0.0.1"
TOKEN_FOR_HEROKU = "HRKU-of-heroku-itself"


def test_forwarder_and_proxy():
    with Platform("--public-host", PUBLIC_HOST) as platform:
        away = Away(platform)
        wrong_authorities_are_refused(away)
        sign_in_through_the_forwarder(away)
        with away.connect() as forwarder:
            work_through_the_forwarder(platform, forwarder)
        proxy_needs_a_token(away)
        (away.home / ".netrc").write_text(
            (away.home / ".netrc").read_text() + f"machine api.heroku.com\n  login me\n  password {TOKEN_FOR_HEROKU}\n"
            f"machine git.heroku.com\n  login me\n  password {TOKEN_FOR_HEROKU}\n"
        )
        with away.connect("--proxy") as proxy:
            exports_lead_to_the_proxy(proxy)
            app, repository = create_and_push(platform, proxy)
            work_on_the_app(platform, proxy, app, repository)
            other_tokens_stay_here(proxy)
            others_names_pass_and_herokus_do_not(away, proxy)
            hostile_clients_are_answered(proxy)
            proxy.heroku("apps").ends().says(app)
        one_command_alone(away, app)


# === where the user is ===


class Away:
    """A machine that has the platform's address and fingerprint, and a home directory of its own."""

    def __init__(self, platform):
        self.platform = platform
        self.home = platform.home / "away"
        self.home.mkdir()
        [self.port] = free_ports(1)
        self.url = f"https://{PUBLIC_HOST}:{platform.endpoints['api_tls'].rsplit(':', 1)[1]}"
        der = ssl.PEM_cert_to_DER_cert(open(platform.endpoints["ca"]).read())
        self.fingerprint = hashlib.sha256(der).hexdigest()

    def env(self):
        return {**self.platform._bare_env(), "HOME": str(self.home)}

    def command(self, *more, fingerprint=None):
        return [str(RENGA), "connect", self.url, "--port", str(self.port), "--fingerprint", fingerprint or self.fingerprint, *more]

    def run(self, *more, fingerprint=None, stdin="", **env):
        args = self.command(*more, fingerprint=fingerprint)
        done = subprocess.run(args, env={**self.env(), **env}, cwd=self.home, input=stdin, capture_output=True, text=True, timeout=60)
        return Result(args, done.returncode, done.stdout, done.stderr)

    def connect(self, *more, **env):
        return Connection(self, more, env)


class Connection:
    """`renga connect` in a terminal of its own, and a shell that has what it prints."""

    def __init__(self, away, more, env):
        self.away, self.port = away, away.port
        self.given = {**away.env(), **env}
        self.said = open(away.home / "connect.err", "w+")
        self.process = subprocess.Popen(
            away.command(*more), stdout=subprocess.PIPE, stderr=self.said, stdin=subprocess.DEVNULL, env=self.given, text=True
        )

    def __enter__(self):
        wait_for("the connection", 20, self._is_up)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.exports = self.process.stdout.read()
        # As a shell understands it, on top of what would lead elsewhere.
        script = f"{self.exports}\nexec python3 -c 'import json, os; print(json.dumps(dict(os.environ)))'"
        given = {**self.given, "HEROKU_HOST": "heroku.com", "HEROKU_DATA_HOST": "elsewhere.example"}
        shell = subprocess.run(["sh", "-c", script], env=given, capture_output=True, text=True, check=True)
        self.env = json.loads(shell.stdout)
        return self

    def __exit__(self, *_):
        # Not SIGINT: a shell that started us in the background has it ignored, and children with us.
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)
        self.said.close()

    def _is_up(self):
        if self.process.poll() is not None:
            raise Failed(f"renga connect ended with {self.process.returncode}:\n{self.heard()}")
        return "Connected to" in self.heard()

    def heard(self):
        return (self.away.home / "connect.err").read_text()

    def run(self, *args, cwd=None, timeout=120):
        args = [str(arg) for arg in args]
        done = subprocess.run(
            args, env=self.env, cwd=cwd or self.away.home, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout
        )
        return Result(args, done.returncode, done.stdout, done.stderr)

    def heroku(self, *args, **kwargs):
        return self.run(HEROKU, *args, **kwargs)

    def ask(self, sent, keep_open=False, patience=10):
        """What the local port answers to these bytes, until it closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=patience) as raw:
            try:
                raw.sendall(sent)
                if not keep_open:
                    raw.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            answer = b""
            try:
                while chunk := raw.recv(65536):
                    answer += chunk
            except ConnectionResetError:
                pass
        return answer.decode(errors="replace")

    def tunnel(self, authority, context=None):
        """A connection through the proxy: plain if no context is given."""
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        raw.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += raw.recv(1) or b"\r\n\r\n"
        if not answer.startswith(b"HTTP/1.1 200 "):
            raw.close()
            raise Failed(f"CONNECT {authority}: {answer.decode()}")
        return context.wrap_socket(raw, server_hostname=authority.rsplit(":", 1)[0]) if context else raw


# === both modes ===


def wrong_authorities_are_refused(away):
    for mode in ([], ["--proxy"]):
        refused = away.run(*mode, "--", "true", fingerprint="ab" * 32).ends(1)
        refused.says("signed by a CA that is not trusted", "nothing was sent")


def sign_in_through_the_forwarder(away):
    password = (away.platform.data / "secrets/admin-password").read_text()
    away.run("--", RENGA, "login", "--email", "admin@localhost", stdin=f"{password}\n").ends().says("Logged in as")
    assert f"machine localhost:{away.port}" in (away.home / ".netrc").read_text()


def proxy_needs_a_token(away):
    netrc = away.home / ".netrc"
    text = netrc.read_text()
    netrc.unlink()
    away.run("--proxy", "--", "true", HEROKU_API_KEY=TOKEN_FOR_HEROKU).ends(1).says("token .* is not known", "renga login")
    netrc.write_text(text)


# === the forwarder ===


def work_through_the_forwarder(platform, forwarder):
    repository = platform.repository("procfile", "forwarded")
    created = forwarder.heroku("create", "forwarded", cwd=repository).ends()
    created.says(rf"https://{re.escape(PUBLIC_HOST)}:\d+/forwarded\.git")
    forwarder.heroku("config:set", "A=1", cwd=repository).ends().says(r"v\d+")
    forwarder.heroku("logs", cwd=repository).ends().says(r"Set A config vars")
    forwarder.run(RENGA, "logs", cwd=repository).ends().says(r"Set A config vars")
    forwarder.run("git", "ls-remote", "heroku", cwd=repository).ends()
    for sent, status in (("\x16\x03\x01 garbage\r\n\r\n", 400), (f"GET /{'x' * 70_000} HTTP/1.1\r\n\r\n", 431)):
        answer = forwarder.ask(sent.encode())
        assert answer.startswith(f"HTTP/1.1 {status} "), answer


# === the proxy ===


def exports_lead_to_the_proxy(proxy):
    env = proxy.env
    for name in ("HTTPS_PROXY", "https_proxy"):
        assert env[name] == f"http://127.0.0.1:{proxy.port}"
    assert "HEROKU_HOST" not in env and "HEROKU_DATA_HOST" not in env
    assert "PRIVATE KEY" not in open(env["NODE_EXTRA_CA_CERTS"]).read()
    assert not list(proxy.away.home.rglob("*.key"))


def create_and_push(platform, proxy):
    repository = platform.repository("procfile", "proxied")
    created = proxy.heroku("create", cwd=repository).ends()
    app = re.search(r"https://git\.heroku\.com/([a-z0-9-]+)\.git", created.text).group(1)
    proxy.heroku("apps").ends().says(app)
    # There is an entry for git.heroku.com in ~/.netrc, and git tries it first.
    pushed = proxy.run("git", "push", "heroku", "main", cwd=repository).ends()
    pushed.says("remote: Verifying deploy... done", r"https://git\.heroku\.com/" + app)
    status, _ = platform.get(app)
    assert status == 200, f"the page answered {status}"
    return app, repository


def work_on_the_app(platform, proxy, app, repository):
    # The app is found by its remote at git.heroku.com.
    proxy.heroku("config:set", "GREETING=hi there", cwd=repository).ends().says(r"GREETING: +hi there")
    proxy.heroku("logs", cwd=repository).ends().says(r"Set GREETING config vars", r"Build succeeded|Deploy [0-9a-f]+ by")
    proxy.heroku("run", "--no-tty", "-x", "--", "echo $GREETING; (exit 3)", cwd=repository).ends(3).says("^hi there$")
    proxy.heroku("run", "echo hi", cwd=repository).ends().says("^hi$")
    accept = "-H 'Accept: application/vnd.heroku+json; version=3'"
    curl = f'curl -sS {accept} --cacert "$NODE_EXTRA_CA_CERTS" -H "Authorization: Bearer $HEROKU_API_KEY" https://api.heroku.com/account'
    # The CLI asks the registry without the proxy: by a variable.
    proxy.heroku("buildpacks:search", "ruby", cwd=repository).ends().says("No buildpacks found")
    proxy.run("sh", "-c", curl).ends().says("admin@localhost")
    proxy.heroku("ps", cwd=repository).ends().says(r"web\.1: up")
    _, session = platform.api("POST", f"/apps/{app}/log-sessions", {"lines": 1, "tail": False})
    assert session["logplex_url"].startswith(f"https://{PUBLIC_HOST}:"), session
    # A body that is longer than any buffer, both ways.
    value = "x" * 30_000
    proxy.heroku("config:set", f"LONG={value}", cwd=repository).ends()
    assert proxy.heroku("config:get", "LONG", cwd=repository).ends().out.strip() == value
    (repository / "large.bin").write_bytes(os.urandom(3_000_000))
    platform.commit(repository, "Something large")
    proxy.run("git", "push", "heroku", "main", cwd=repository).ends().says("Released v")
    proxy.run("git", "clone", "-q", f"https://git.heroku.com/{app}.git", "clone").ends()
    assert (proxy.away.home / "clone/large.bin").read_bytes() == (repository / "large.bin").read_bytes()


def other_tokens_stay_here(proxy):
    context = ssl.create_default_context(cafile=proxy.env["NODE_EXTRA_CA_CERTS"])
    for host in ("api.heroku.com", "git.heroku.com"):
        with proxy.tunnel(f"{host}:443", context) as tls:
            tls.sendall(f"GET /account HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN_FOR_HEROKU}\r\n\r\n".encode())
            answer = tls.recv(65536).decode()
        assert answer.startswith("HTTP/1.1 401 ") and "not passed on" in answer, answer


def others_names_pass_and_herokus_do_not(away, proxy):
    for refused in ("backboard.heroku.com:443", "HEROKU.com.:443", "api.staging.herokudev.com:443", "api.heroku.com:80"):
        answer = proxy.ask(f"CONNECT {refused} HTTP/1.1\r\n\r\n".encode())
        assert answer.startswith("HTTP/1.1 403 ") and "your token would have gone there" in answer, answer
    with EchoServer(away.home) as server:
        context = ssl.create_default_context(cafile=server.certificate)
        with proxy.tunnel(f"localhost:{server.port}", context) as tls:
            for said in (b"through the tunnel\n" * 500, bytes(16_000)):
                tls.sendall(said)
                seen = b""
                while len(seen) < len(said):
                    seen += tls.recv(65536)
                assert seen == said
        curl = ["curl", "-sS", "--noproxy", "", "--cacert", server.certificate, f"https://localhost:{server.port}/", "--http0.9", "-m", "1"]
        proxy.run(*curl).says("GET / HTTP/1.1")
    [closed] = free_ports(1)
    answer = proxy.ask(f"CONNECT 127.0.0.1:{closed} HTTP/1.1\r\n\r\n".encode())
    assert answer.startswith("HTTP/1.1 502 ") and f"127.0.0.1:{closed}" in answer, answer


def hostile_clients_are_answered(proxy):
    for sent, status in (
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 400),
        (b"\0" * 100_000, 400),
        (b"CONNECT \r\n\r\n", 400),
        (b"CONNECT api.heroku.com HTTP/1.1\r\n\r\n", 400),
        (b"CONNECT api.heroku.com:443 HTTP/1.1\r\nX: " + b"x" * 100_000, 431),
        (b"CONNECT " + b"x" * 100_000, 431),
        (b"GET http://api.heroku.com/apps HTTP/1.1\r\nHost: api.heroku.com\r\n\r\n", 405),
        (b"POST /apps HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", 405),
    ):
        answer = proxy.ask(sent, keep_open=True)
        assert answer.startswith(f"HTTP/1.1 {status} "), f"{sent[:40]!r}: {answer}"
    # Nobody is kept waiting by those who say nothing, or not enough, or no TLS.
    idle = [socket.create_connection(("127.0.0.1", proxy.port)) for _ in range(20)]
    for raw, said in zip(idle, (b"", b"CONNECT api.her", b"CONNECT api.heroku.com:443 HTTP/1.1\r\n\r\n") * 7):
        raw.sendall(said)
    with proxy.tunnel("api.heroku.com:443") as raw:
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert b"HTTP/1.1" not in raw.recv(65536), "an answer in the clear"
    proxy.heroku("apps").ends()
    # More than there are places for: turned away, and served again when the others have gone.
    idle += [socket.create_connection(("127.0.0.1", proxy.port)) for _ in range(260)]
    wait_for("a refusal", 5, lambda: proxy.ask(b"CONNECT a:1 HTTP/1.1\r\n\r\n").startswith("HTTP/1.1 503 "))
    for raw in idle:
        raw.close()
    wait_for("a place", 5, lambda: proxy.ask(b"GET / HTTP/1.1\r\n\r\n").startswith("HTTP/1.1 405 "))


def one_command_alone(away, app):
    """One command with the variables; a token from a file; a site's proxy from before, and exceptions that lead around us."""
    token = away.home / "token"
    token.write_text(f"{away.platform.token()}\n")
    with SiteProxy() as site, EchoServer(away.home) as server:
        env = {"HTTPS_PROXY": f"http://me:p%40ss@127.0.0.1:{site.port}", "NO_PROXY": "heroku.com,corp.example"}
        curl = f"curl -sS --noproxy '' --cacert {shlex.quote(server.certificate)} --http0.9 -m 1 https://localhost:{server.port}/"
        script = f"{HEROKU} apps; {curl}; echo no_proxy=$NO_PROXY; exit 5"
        done = away.run("--proxy", "--token-file", token, "--", "sh", "-c", script, **env).ends(5)
        done.says(app, "GET / HTTP/1.1", r"^no_proxy=corp\.example,localhost,127\.0\.0\.1$")
        assert site.asked == [(f"localhost:{server.port}", "Basic bWU6cEBzcw==")], site.asked


# === others ===


class Listener:
    """Serves each connection in a thread until the test is over."""

    def __enter__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.socket.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_one, args=(client,), daemon=True).start()

    def _serve_one(self, client):
        client.settimeout(20)
        try:
            self.serve(client)
        except OSError:
            pass
        finally:
            client.close()


class EchoServer(Listener):
    """TLS with a certificate for localhost; says what it hears."""

    def __init__(self, home):
        self.certificate, key = str(home / "echo.pem"), str(home / "echo-key.pem")
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", self.certificate]
        subprocess.run(command, check=True, capture_output=True)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.certificate, key)

    def serve(self, client):
        with self.context.wrap_socket(client, server_side=True) as tls:
            while chunk := tls.recv(65536):
                tls.sendall(chunk)


class SiteProxy(Listener):
    """A proxy that was there before, and wants a password."""

    def __init__(self):
        self.asked = []

    def serve(self, client):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        lines = head.decode().split("\r\n")
        authority = lines[0].split()[1]
        self.asked.append((authority, next(line.partition(": ")[2] for line in lines if line.lower().startswith("proxy-authorization:"))))
        host, port = authority.rsplit(":", 1)
        with socket.create_connection((host, int(port))) as there:
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=self._copy, args=(there, client), daemon=True)
            back.start()
            self._copy(client, there)
            back.join()

    @staticmethod
    def _copy(source, sink):
        try:
            while chunk := source.recv(65536):
                sink.sendall(chunk)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass
