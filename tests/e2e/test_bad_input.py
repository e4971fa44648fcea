"""What people and programs send by mistake or on purpose: each gets a plain answer, and nobody else notices.

After every step the platform must be in health: the same three processes, the API answers, and a bystander's app serves.
"""

import base64
import io
import os
import pathlib
import socket
import subprocess
import tarfile
import threading
import time

from app_under_test import App, read_until
from machine import Ledger
from platform_under_test import Failed, Platform, wait_for

GIB = 1024**3
MIB = 1024**2
# What one role's process may take at its worst moment; bodies and outputs must not gather in memory.
ROLE_MEMORY_MAX = 400 * MIB
# The limit of a build that sleeps for ever.
SLEEPER_SECONDS = 8


class Bystander:
    """Somebody else's app on the same platform, and the platform's health as this somebody sees it."""

    def __init__(self, platform):
        self.platform = platform
        self.app = App(platform, "bystander")
        self.app.deploy()
        self.app.settle(web=1)
        self.pids = platform.role_pids()

    def is_well(self, what):
        if (pids := self.platform.role_pids()) != self.pids:
            raise Failed(f"{what}: processes were {self.pids} and are {pids}\n{self.platform.operator_log()[-4000:]}")
        status, said = self.platform.api("GET", "/account")
        assert status == 200, f"{what}: the API says {status} {said}"
        self.app.serves(5)
        for role, pid in pids.items():
            peak = peak_memory(pid)
            assert peak < ROLE_MEMORY_MAX, f"{what}: {role} has taken {peak // MIB} MiB"


def peak_memory(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


# === the API ===

BAD_NAMES = [
    "",
    "a",
    "x" * 300,
    "-dash",
    "dash-",
    "Upper",
    "9lives",
    "under_score",
    "dot.ted",
    "sp ace",
    "semi;reboot",
    "$(touch /tmp/renga-was-here)",
    "`id`",
    "a|b",
    "a&&b",
    "../../etc",
    "a/b",
    "new\nline",
    "nul\0byte",
    "quote'quote",
    'double"quote',
    "größe",
    "アプリ",
    "\u202eevil",
    "🚀🚀🚀",
]


def test_requests():
    with Platform() as platform:
        bystander = Bystander(platform)
        for check in (
            names_are_refused,
            wrong_json_is_refused,
            huge_bodies_are_refused,
            tokens_are_asked_for,
            config_has_its_limits,
            broken_http_is_refused,
        ):
            begun = time.monotonic()
            check(platform)
            bystander.is_well(check.__name__)
            print(f"    {check.__name__}: {time.monotonic() - begun:.1f} s", flush=True)


def names_are_refused(platform):
    for name in BAD_NAMES:
        status, said = platform.api("POST", "/apps", {"name": name})
        assert status == 422 and said["id"] == "invalid_params", f"{name!r}: {status} {said}"
    for path in ("/apps/%24%28reboot%29", "/apps/..%2f..%2fetc", "/apps/%00", "/apps/%ff%fe", "/apps/" + "x" * 5000, "/apps/" + "%F0%9F%9A%80"):
        status, said = platform.api("GET", path)
        assert status in (400, 404), f"{path[:80]}: {status} {said}"
    for kind in BAD_NAMES[6:]:
        status, said = platform.api("PATCH", "/apps/bystander/formation", {"updates": [{"type": kind, "quantity": 1}]})
        assert status in (404, 422), f"process type {kind!r}: {status} {said}"


WRITES = [
    ("POST", "/apps"),
    ("PATCH", "/apps/bystander"),
    ("PATCH", "/apps/bystander/formation"),
    ("PATCH", "/apps/bystander/formation/web"),
    ("PATCH", "/apps/bystander/config-vars"),
    ("POST", "/apps/bystander/builds"),
    ("POST", "/apps/bystander/dynos"),
    ("POST", "/apps/bystander/releases"),
    ("POST", "/apps/bystander/log-sessions"),
    ("PUT", "/apps/bystander/buildpack-installations"),
    ("PATCH", "/apps/bystander/features/preboot"),
    ("POST", "/oauth/authorizations"),
    ("POST", "/filters/apps"),
]
NOT_JSON = [b"{", b"\xff\xfe{}", b"[" * 100_000, b'{"a":' * 20_000, b"{'name': 'x'}", b"name=x", b'{"name":"x"}}']
WRONG_JSON = [
    b"[7]",
    b"1",
    b'"text"',
    b'{"no-such-member": 1}',
    b'{"name": 5, "quantity": "many", "updates": 7, "command": [], "slug": {}, "source_blob": [], "enabled": "yes", "lines": "all", "in": 3,'
    b' "description": 9, "description": 8}',
]


def wrong_json_is_refused(platform):
    for method, path in WRITES:
        for body in NOT_JSON + WRONG_JSON:
            status, said = platform.api(method, path, body)
            assert 400 <= status < 500, f"{method} {path} with {body[:60]}: {status} {said}"
            assert isinstance(said, dict) and said["message"], f"{method} {path} with {body[:60]}: {said}"
    for quantity in (-1, 1.5, 10**12, 10**30, "1;reboot", None, [], True):
        status, said = platform.api("PATCH", "/apps/bystander/formation", {"updates": [{"type": "web", "quantity": quantity}]})
        # `null` may count as "not said".
        assert 400 <= status < 500 or quantity is None, f"quantity {quantity!r}: {status} {said}"


def huge_bodies_are_refused(platform):
    begun = time.monotonic()
    for path in ("/apps", "/apps/bystander/config-vars", "/no-such-route"):
        for announced in (True, False):
            status, sent = send_body(platform, path, GIB, announced)
            assert status in (400, 404, 413), f"{path}: {status}"
            assert sent < 64 * MIB, f"{path}: {sent // MIB} MiB were taken before it was refused"
    assert time.monotonic() - begun < 20


def send_body(platform, path, size, announced):
    """A body of so many bytes, with a length or in chunks; returns (status, bytes sent until it was answered)."""
    host, _, port = platform.endpoints["api"].partition("://")[2].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as client:
        length = f"Content-Length: {size}" if announced else "Transfer-Encoding: chunked"
        method = "PATCH" if path.endswith("config-vars") else "POST"
        client.sendall(
            f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {platform.token()}\r\n"
            f"Accept: application/vnd.heroku+json; version=3\r\nContent-Type: application/json\r\n{length}\r\n\r\n".encode()
        )
        piece = b'"' + b"x" * (MIB - 1)
        piece = piece if announced else f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
        sent = 0
        try:
            while sent < size:
                client.sendall(piece)
                sent += len(piece)
        except (ConnectionError, TimeoutError):
            pass
        try:
            answer = client.recv(4096)
        except ConnectionError:
            # Refused so early that the answer was overtaken by the reset.
            return 413, sent
        return int(answer.split()[1]) if answer else 413, sent


def tokens_are_asked_for(platform):
    basic = base64.b64encode(f":{'0' * 36}".encode()).decode()
    wrong = [None, "", "Bearer", "Bearer ", "Bearer x", f"Bearer {'0' * 36}", f"Bearer {'A' * 8000}", f"Basic {basic}", "Basic !!!", "Digest a=b"]
    reads = ["/account", "/apps", "/apps/bystander", "/apps/bystander/config-vars", "/apps/bystander/releases", "/apps/bystander/dynos",
             "/apps/bystander/builds", "/apps/no-such-app", "/oauth/authorizations", "/bystander.git/info/refs?service=git-receive-pack",
             "/bystander.git/info/refs?service=git-upload-pack", "/no-such-app.git/info/refs?service=git-upload-pack"]
    for token in wrong:
        for method, path in [("GET", read) for read in reads] + WRITES + [("DELETE", "/apps/bystander"), ("DELETE", "/apps/bystander/dynos")]:
            status, said = platform.api(method, path, b"{}" if method != "GET" else None, {"Authorization": token})
            assert status == 401, f"{method} {path} with {str(token)[:30]!r}: {status} {said}"
    # Secrets in paths are asked for as well.
    for path in ("/streams/x", "/logs/sessions/x", f"/sources/{'0' * 8}-{'0' * 4}-4000-8000-{'0' * 12}/wrong"):
        status, said = platform.api("GET", path, headers={"Authorization": None})
        assert 400 <= status < 500, f"{path}: {status} {said}"


def config_has_its_limits(platform):
    before = platform.api("GET", "/apps/bystander/releases")[1]
    for config in (
        {"BIG": "x" * 100_000},
        {"BAD-NAME": "1"},
        {"A=B": "1"},
        {"": "1"},
        {"NUL": "a\0b"},
        {"PORT": "1"},
        {"NUMBER": 5},
        {"LIST": ["a"]},
        {"x" * 300: "1"},
    ):
        status, said = platform.api("PATCH", "/apps/bystander/config-vars", config)
        assert status == 422, f"{list(config)[0][:20]!r}: {status} {said}"
    assert platform.api("GET", "/apps/bystander/releases")[1] == before, "a refused change made a release"
    # At the limit it is taken, and dynos start with it; shell characters stay what they are.
    odd = "$(reboot) `id` ; rm -rf / \"'\\ \n \t ü 🚀"
    status, said = platform.api("PATCH", "/apps/bystander/config-vars", {"LARGE": "y" * 60_000, "ODD": odd})
    assert status == 200 and said["ODD"] == odd, f"{status} {said}"
    Ledger(platform).check()
    shown = platform.heroku("run", "--no-tty", "-a", "bystander", "--", "python3", "-c", "import os; print(repr(os.environ['ODD']), len(os.environ['LARGE']))")
    assert f"{odd!r} 60000" in shown.text, shown.text


def broken_http_is_refused(platform):
    for kind in ("api", "router"):
        host, _, port = platform.endpoints[kind].partition("://")[2].rpartition(":")
        for text in (
            b"\0\0\0\0" * 100,
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: bystander.localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: bystander.localhost\r\nContent-Length: -1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: bystander.localhost\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
            b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: bystander.localhost\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + b"".join(b"H%d: x\r\n" % n for n in range(2_000)) + b"\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc" + os.urandom(300),
        ):
            with socket.create_connection((host, int(port)), timeout=10) as client:
                try:
                    client.sendall(text)
                    client.shutdown(socket.SHUT_WR)
                    answer = client.recv(4096)
                except OSError:
                    continue
                assert not answer.startswith(b"HTTP/1.1 5") or answer[9:12] in (b"503", b"505"), f"{kind}: {text[:60]}: {answer[:80]}"


# === sources ===


def test_repositories():
    with Platform() as platform:
        bystander = Bystander(platform)
        app = App(platform, "sources")
        app.deploy()
        for check in (
            procfile_of_nonsense,
            procfile_with_carriage_returns,
            no_procfile,
            nothing_at_all,
            links_out_of_the_tree,
            git_inside_a_folder,
            odd_file_names,
            other_branches,
            large_file,
        ):
            begun = time.monotonic()
            check(platform, app)
            app.settle()
            bystander.is_well(check.__name__)
            print(f"    {check.__name__}: {time.monotonic() - begun:.1f} s", flush=True)


def push(app, *refs, timeout=120):
    """Commits everything and pushes; returns (exit code, output)."""
    app.platform.commit(app.repository, "Another commit")
    done = subprocess.run(
        ["git", "push", app.platform.git_url(app.name), *(refs or ("+HEAD:refs/heads/main",))],
        cwd=app.repository, env=app.platform.env(), capture_output=True, text=True, errors="replace", timeout=timeout, stdin=subprocess.DEVNULL,
    )
    return done.returncode, done.stdout + done.stderr


def refused(app, *words, refs=()):
    """The push is refused with these words, and what served before serves still."""
    code, said = push(app, *refs)
    assert code != 0, f"the push was taken:\n{said}"
    for word in words:
        assert word in said, f"nothing like {word!r} in\n{said}"
    app.serves(5)


def write(app, name, content):
    file = app.repository / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


GOOD_PROCFILE = "web: exec python3 bin/server.py\n"


def procfile_of_nonsense(_, app):
    """Lines that are no process types are left alone; what remains is what there is."""
    write(app, "Procfile", b"\xff\xfe\0\0nonsense\n:::\nweb web web\n\n= 5\n" + b"x" * 100_000 + b"\n" + GOOD_PROCFILE.encode())
    code, said = push(app)
    assert code == 0, said
    app.serves()
    write(app, "Procfile", b"\0\1\2\3 nothing of use\n")
    code, said = push(app)
    assert "Traceback" not in said and "panicked" not in said, said
    write(app, "Procfile", "$(touch /tmp/renga-was-here): x\nweb; reboot: y\n../web: z\n" + GOOD_PROCFILE)
    code, said = push(app)
    assert code == 0, said
    app.serves()
    assert not pathlib.Path("/tmp/renga-was-here").exists()


def procfile_with_carriage_returns(_, app):
    write(app, "Procfile", GOOD_PROCFILE.replace("\n", "\r\n") + "\r\n# a comment\r\nworker: sleep 5\r\n")
    write(app, "public/version.txt", "with CRLF\n")
    code, said = push(app)
    assert code == 0 and "web" in said and "worker" in said, said
    wait_for("the page of the CRLF deploy", 20, lambda: app.page() == (200, "with CRLF\n"))
    app.deploy()


def no_procfile(_, app):
    (app.repository / "Procfile").unlink()
    refused(app, "No default language could be detected")
    write(app, "Procfile", GOOD_PROCFILE)


def nothing_at_all(platform, app):
    """A commit without any file."""
    tree = platform.git("mktree", cwd=app.repository, stdin="").ends().out.strip()
    commit = platform.git("commit-tree", "-m", "Nothing", tree, cwd=app.repository).ends().out.strip()
    refused(app, "Push rejected", refs=(f"+{commit}:refs/heads/main",))


def links_out_of_the_tree(_, app):
    """They are refused by name. Those that stay inside are kept, and those to nowhere hurt nobody."""
    for target in ("/etc/passwd", "../../../../../../../etc/passwd", "/", "/proc/1/environ", "/tmp/../etc/passwd"):
        link = app.repository / "public/link"
        link.symlink_to(target)
        refused(app, "public/link is a link that leads out of the source tree")
        link.unlink()
    for name, target in (("loop", "loop"), ("nowhere", "no/such/file"), ("version", "version.txt")):
        (app.repository / "public" / name).symlink_to(target)
    app.deploy()
    assert app.platform.get(app.name, "/version") == app.page()
    for name in ("loop", "nowhere", "version"):
        (app.repository / "public" / name).unlink()
    # Files that the platform itself reads must not be links to elsewhere.
    for name in ("Procfile", ".slugignore", ".profile"):
        (app.repository / name).unlink(missing_ok=True)
        (app.repository / name).symlink_to("bin/../" * 20 + "bin/server.py" if name == ".profile" else "/dev/zero")
        code, said = push(app)
        assert "HOME=" not in said and "panicked" not in said, said
        (app.repository / name).unlink()
        write(app, "Procfile", GOOD_PROCFILE)
    app.deploy()


def git_inside_a_folder(platform, app):
    """A repository inside the repository, without .gitmodules; and a tree that holds `.git` itself."""
    inner = app.repository / "inner"
    inner.mkdir()
    platform.git("init", "-q", cwd=inner).ends()
    platform.commit(inner, "Inner")
    code, said = push(app)
    assert "panicked" not in said, said
    platform.git("rm", "-q", "--cached", "inner", cwd=app.repository)
    subprocess.run(["rm", "-rf", inner], check=True)
    blob = platform.git("hash-object", "-w", "--stdin", cwd=app.repository, stdin="[core]\n\tfsmonitor = touch /tmp/renga-was-here\n").ends().out.strip()
    folder = platform.git("mktree", cwd=app.repository, stdin=f"100644 blob {blob}\tconfig\n").ends().out.strip()
    tree = platform.git("mktree", cwd=app.repository, stdin=f"040000 tree {folder}\t.git\n").ends().out.strip()
    commit = platform.git("commit-tree", "-m", "Evil", tree, cwd=app.repository).ends().out.strip()
    refused(app, "rejected", refs=(f"+{commit}:refs/heads/main",))
    assert not pathlib.Path("/tmp/renga-was-here").exists()
    app.deploy()


def odd_file_names(_, app):
    names = ["-rf", "$(reboot)", "sp ace", "new\nline", "größe", "🚀", "'\"", "a" * 200, "b/" * 60 + "deep", "--", "*"]
    for name in names:
        write(app, f"public/odd/{name}", "odd\n")
    write(app, b"public/odd/\xff\xfe".decode("utf-8", "surrogateescape"), "odd\n")
    app.deploy()
    assert app.platform.get(app.name, "/odd/sp%20ace") == (200, "odd\n")
    subprocess.run(["rm", "-rf", app.repository / "public/odd"], check=True)


def other_branches(platform, app):
    refused(app, "non-main|master branch, skipping build", refs=("HEAD:refs/heads/feature",))
    refused(app, "rejected", refs=("HEAD:refs/heads/$(touch${IFS}/tmp/renga-was-here)",))
    refused(app, "rejected", refs=("HEAD:refs/tags/v1",))
    refused(app, "rejected", refs=("HEAD:refs/renga/staging/x",))
    refused(app, "rejected", refs=(":refs/heads/main",))
    refused(app, "rejected", refs=("HEAD:refs/heads/main", "HEAD:refs/heads/master"))
    heads = platform.git("ls-remote", platform.git_url(app.name)).ends().out
    assert {line.split()[1] for line in heads.splitlines()} == {"HEAD", "refs/heads/main"}, heads
    assert not pathlib.Path("/tmp/renga-was-here").exists()


def large_file(platform, app):
    """200 MB that do not compress."""
    with open(app.repository / "public/large", "wb") as file:
        for _ in range(200):
            file.write(os.urandom(MIB))
    platform.git("config", "core.compression", "0", cwd=app.repository)
    begun = time.monotonic()
    app.commit()
    code, said = push(app, timeout=180)
    took = time.monotonic() - begun
    assert code == 0, said
    app.serves()
    print(f"    200 MB pushed, built and serving after {took:.1f} s", flush=True)
    (app.repository / "public/large").unlink()


# === uploads ===


def test_uploads():
    with Platform() as platform:
        bystander = Bystander(platform)
        app = App(platform, "uploads")
        for name, content in archives().items():
            status = upload_and_build(platform, content)
            print(f"    {name}: {status}", flush=True)
            wanted = "succeeded" if name == "good" else "failed"
            assert status == wanted, f"a build of {name} {status}"
            bystander.is_well(name)
        assert not pathlib.Path("/tmp/renga-was-here").exists()
        stray = [path for path in platform.data.rglob("renga-was-here*")]
        assert not stray, stray
        app.settle()


def archives():
    """Name to gzipped tar (or what claims to be one)."""
    good = {"app/Procfile": GOOD_PROCFILE, "app/bin/server.py": "print('no server')\n"}

    def tar(**more):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as archive:
            for name, text in good.items():
                member = tarfile.TarInfo(name)
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text.encode()))
            for member, text in more.get("members", []):
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text))
        return out.getvalue()

    def member(name, kind=tarfile.REGTYPE, target=""):
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        return info

    return {
        "good": tar(),
        "climbing": tar(members=[(member("app/../../../../../../../../tmp/renga-was-here"), b"x")]),
        "absolute": tar(members=[(member("/tmp/renga-was-here"), b"x")]),
        "through a link": tar(members=[(member("app/door", tarfile.SYMTYPE, "/tmp"), b""), (member("app/door/renga-was-here"), b"x")]),
        "hard link": tar(members=[(member("app/hard", tarfile.LNKTYPE, "/etc/passwd"), b"")]),
        "device": tar(members=[(member("app/disk", tarfile.BLKTYPE), b"")]),
        "link": tar(members=[(member("app/passwd", tarfile.SYMTYPE, "/etc/passwd"), b"")]),
        "not an archive": os.urandom(100_000),
        "empty": b"",
        "cut": tar()[:-40],
    }


def upload_and_build(platform, content):
    status, source = platform.api("POST", "/sources")
    assert status == 201, source
    path = "/" + source["source_blob"]["put_url"].split("://", 1)[1].split("/", 1)[1]
    status, said = platform.api("PUT", path, content, {"Content-Type": None})
    assert status == 200, said
    status, build = platform.api("POST", "/apps/uploads/builds", {"source_blob": {"url": source["source_blob"]["get_url"], "version": "x"}})
    assert status == 201, build

    def verdict():
        status = platform.api("GET", f"/apps/uploads/builds/{build['id']}")[1]["status"]
        return status if status != "pending" else None

    return wait_for("the build to end", 60, verdict, every=0.2)


# === builds that misbehave ===


def test_builds():
    with Platform() as platform:
        with_builds(platform, "memory_mib = 512\ntimeout_seconds = 180\n")
        bystander = Bystander(platform)
        app = App(platform, "builds", slow_build=True)
        for check in (prints_a_gigabyte, forks_without_end, fills_memory, fills_the_disk, leaves_processes, sleeps_for_ever):
            if check is sleeps_for_ever:
                with_builds(platform, f"timeout_seconds = {SLEEPER_SECONDS}\n")
                bystander.pids = platform.role_pids()
            begun = time.monotonic()
            check(platform, app)
            app.settle()
            bystander.is_well(check.__name__)
            print(f"    {check.__name__}: {time.monotonic() - begun:.1f} s", flush=True)


def with_builds(platform, settings):
    """Starts the platform again with other limits of builds."""
    config = platform.home / "renga.toml"
    config.write_text(f"[builds]\n{settings}")
    platform.flags = ["--config", config]
    platform.stop()
    platform.start()


def hook(app, script):
    write(app, "bin/post_compile", f"#!/bin/bash\n{script}\n").chmod(0o755)


def prints_a_gigabyte(platform, app):
    """Long lines, then short ones; the last one is there, and what is kept stays bounded."""
    hook(app, "head -c 1G /dev/zero | tr '\\0' x | fold -w 9000\nyes short | head -n 500000\necho the last line")
    code, said = push(app, timeout=300)
    assert code == 0 and "the last line" in said, said[-2000:]
    kept = sum(file.stat().st_size for file in (platform.data / "outputs").rglob("*.log"))
    assert kept < 320 * MIB, f"{kept // MIB} MiB of output are kept"
    app.deploys = 0


def forks_without_end(_, app):
    hook(app, "exec python3 bin/fork.py")
    write(app, "bin/fork.py", "import os, time\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        time.sleep(3)\n        os._exit(1)\n")
    code, said = push(app, timeout=120)
    assert code != 0 and "Push" in said, said[-2000:]


def fills_memory(_, app):
    hook(app, "exec python3 -c 'x = []\nwhile True: x.append(bytearray(50_000_000))'")
    code, said = push(app, timeout=120)
    assert code != 0 and "Push" in said, said[-2000:]


def fills_the_disk(_, app):
    hook(app, "fallocate -l 100G /tmp/hole || head -c 9G /dev/zero > /tmp/large || exit 3")
    code, said = push(app, timeout=120)
    assert code != 0 and "No space left" in said, said[-2000:]


def leaves_processes(_, app):
    """What a build leaves running ends with it."""
    hook(app, "setsid nohup sleep 4711 >/dev/null 2>&1 &\nsetsid nohup sleep 4711 &\necho left them")
    code, said = push(app)
    assert code == 0, said
    assert subprocess.run(["pgrep", "-x", "-f", "sleep 4711"], capture_output=True).returncode == 1, "they live on"


def sleeps_for_ever(_, app):
    hook(app, "echo going to sleep; exec sleep 4711")
    begun = time.monotonic()
    code, said = push(app, timeout=120)
    assert code != 0 and f"took longer than {SLEEPER_SECONDS} seconds" in said, said
    assert time.monotonic() - begun < SLEEPER_SECONDS + 20


# === at the same time ===


def test_races():
    with Platform() as platform:
        bystander = Bystander(platform)
        for check in (two_pushes, many_scales, scale_during_a_deploy, config_during_a_deploy, destroy_during_a_build, same_name_twice):
            begun = time.monotonic()
            check(platform)
            bystander.is_well(check.__name__)
            print(f"    {check.__name__}: {time.monotonic() - begun:.1f} s", flush=True)


def two_pushes(platform):
    """One of them wins; the other is told to wait, and nothing is mixed."""
    app = App(platform, "two-pushes", slow_build=True)
    first, second = app.commit(), None
    one = app.push()
    read_until(one, "hook 1")
    second = app.commit()
    two = app.push()
    said_two, _ = two.communicate(timeout=60)
    said_one, _ = one.communicate(timeout=60)
    assert one.returncode == 0, said_one
    assert two.returncode != 0 and "Another build" in said_two, said_two
    assert app.current_commit() == first
    again = app.push()
    said, _ = again.communicate(timeout=60)
    assert again.returncode == 0 and app.current_commit() == second, said
    app.serves()
    app.settle(web=1)
    # At the very same moment.
    app.commit()
    both = [app.push(), app.push()]
    said = [push.communicate(timeout=60)[0] for push in both]
    assert sum(push.returncode == 0 for push in both) >= 1, said
    app.serves()
    app.settle(web=1)
    app.destroy()


def many_scales(platform):
    app = App(platform, "many-scales")
    app.deploy()
    answers_of = in_parallel([lambda n=n: app.scale(web=n % 4 + 1) for n in range(12)])
    assert all(status == 200 for status, _ in answers_of), answers_of
    wanted = {row["type"]: row["quantity"] for row in platform.api("GET", "/apps/many-scales/formation")[1]}
    app.settle(web=wanted["web"])
    app.destroy()


def in_parallel(acts):
    results = [None] * len(acts)

    def run(n):
        results[n] = acts[n]()

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def scale_during_a_deploy(platform):
    app = App(platform, "scale-deploy", slow_build=True)
    app.deploy()
    app.commit()
    push = app.push()
    read_until(push, "hook 2")
    assert app.scale(web=2)[0] == 200
    read_until(push, "hook 25")
    assert app.scale(web=3)[0] == 200
    said, _ = push.communicate(timeout=60)
    assert push.returncode == 0, said
    app.serves()
    app.settle(web=3)
    app.destroy()


def config_during_a_deploy(platform):
    """The release of the build carries the change that was made while it was built."""
    app = App(platform, "config-deploy", slow_build=True)
    app.deploy()
    app.commit()
    push = app.push()
    read_until(push, "hook 5")
    assert app.configure(DURING="yes")[0] == 200
    said, _ = push.communicate(timeout=60)
    assert push.returncode == 0, said
    app.serves()
    app.settle(web=1)
    assert platform.api("GET", "/apps/config-deploy/config-vars")[1].get("DURING") == "yes"
    app.destroy()


def destroy_during_a_build(platform):
    app = App(platform, "destroyed", slow_build=True)
    app.commit()
    push = app.push()
    read_until(push, "hook 5")
    begun = time.monotonic()
    app.destroy()
    said, _ = push.communicate(timeout=30)
    assert push.returncode != 0, said
    assert time.monotonic() - begun < 30
    again = App(platform, "destroyed")
    again.deploy()
    again.destroy()


def same_name_twice(platform):
    made = in_parallel([lambda: platform.api("POST", "/apps", {"name": "only-one"}) for _ in range(8)])
    assert sorted(status for status, _ in made) == [201] + [422] * 7, made
    gone = in_parallel([lambda: platform.api("DELETE", "/apps/only-one") for _ in range(4)])
    assert 200 in [status for status, _ in gone] and all(status in (200, 404) for status, _ in gone), gone
