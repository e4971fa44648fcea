"""Ways to deploy: languages, buildpacks of others, the release phase, the build API, and pushes that are disturbed.

One platform, whose stories go on side by side: an app each, most of the time is spent waiting for package registries.
"""

import concurrent.futures
import functools
import hashlib
import io
import json
import os
import re
import signal
import subprocess
import tarfile
import threading
import time
import urllib.request
import zipfile

from app_under_test import App, read_until
from buildpack_host import BuildpackHost
from machine import Ledger
from platform_under_test import ROOT, Failed, Platform, wait_for
from websocket_client import receive, send, websocket

BUILDS_AT_ONCE = 4
SERVER = (ROOT / "examples/procfile/bin/server.py").read_text()
WEB = "web: exec python3 bin/server.py\n"


def test_deploys():
    platform = Platform()
    with BuildpackHost(platform.home / "web") as host:
        config = platform.home / "renga.toml"
        config.write_text(f'[network]\nallow = ["{host.address}/32"]\n[builds]\nmax = {BUILDS_AT_ONCE}\n')
        platform.flags += ["--config", config]
        stories = [
            express_with_the_builtin_buildpack,
            functools.partial(buildpacks_of_others, host),
            release_phase_and_rollback,
            node_builds_for_python,
            websockets_through_the_router,
            workers_are_scaled,
            uploads_are_built,
            slugs_are_brought,
            python_of_the_buildpacks_choice,
            pipenv_and_uv,
            python_that_cannot_be_had,
            pushes_get_in_each_others_way,
        ]
        with platform:
            side_by_side(platform, stories)
            leaves_nothing_half_done(platform)


def leaves_nothing_half_done(platform):
    """After all builds, good and bad: only formations run, and of their sources only what was uploaded is kept for a day."""
    ledger = Ledger(platform)
    wait_for("everything to settle", 30, lambda: ledger.settled() is None)
    ledger.check()
    left = [entry.name for entry in (platform.data / "exchange").iterdir() if not entry.name.startswith(("source-", "slug-"))]
    assert not left, left
    working = [name for name in os.listdir(platform.data / "node/tmp")]
    assert not working, working


def side_by_side(platform, stories):
    """All stories are told to their end; then the first failure is raised."""
    with concurrent.futures.ThreadPoolExecutor(BUILDS_AT_ONCE) as pool:
        told = [pool.submit(tell, story, platform) for story in stories]
    failures = [future.exception() for future in told if future.exception()]
    if failures:
        raise Failed("\n\n".join(str(failure) for failure in failures)) from failures[0]


def tell(story, platform):
    name = getattr(story, "func", story).__name__
    begun, outcome = time.monotonic(), "failed"
    try:
        story(platform)
        outcome = "ok"
    except Exception as error:
        raise Failed(f"{name}: {error}") from error
    finally:
        print(f"    {name} {outcome} ({time.monotonic() - begun:.1f} s)", flush=True)


class Project:
    """An app, and the repository that it is deployed from."""

    def __init__(self, platform, name, files=None, example=None):
        self.platform, self.name = platform, name
        self.repository = platform.home / f"repository-{name}"
        if example:
            platform.repository(example, self.repository.name)
        else:
            self.repository.mkdir()
            platform.git("init", "-q", "-b", "main", cwd=self.repository).ends()
        self.write(files or {})
        status, self.row = platform.api("POST", "/apps", {"name": name})
        assert status == 201, self.row

    def write(self, files):
        """Text or bytes by path; None removes."""
        for path, content in files.items():
            file = self.repository / path
            file.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                file.unlink()
                continue
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
            if file.read_bytes().startswith(b"#!"):
                file.chmod(0o755)

    def push(self, files=None, code=0):
        """Commits and pushes; gives what the pusher read."""
        self.write(files or {})
        self.platform.commit(self.repository, "A change")
        pushed = self.platform.git("push", self.platform.git_url(self.name), "HEAD:refs/heads/main", cwd=self.repository)
        return pushed.ends(code)

    def begin_push(self, files=None):
        """In the background, in a process group of its own."""
        self.write(files or {})
        self.platform.commit(self.repository, "A change")
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

    def branch(self):
        """The commit that the platform's main is at."""
        answer = self.platform.git("ls-remote", self.platform.git_url(self.name), "refs/heads/main", cwd=self.repository).ends().out
        return answer.split()[0] if answer else None

    def head(self):
        return self.platform.git("rev-parse", "HEAD", cwd=self.repository).ends().out.strip()

    def get(self, path="/"):
        try:
            return self.platform.get(self.name, path, timeout=10)
        except (OSError, IndexError, ValueError) as error:
            return 0, repr(error)

    def shows(self, path, pattern, seconds=30):
        """The page, as soon as it is like `pattern`."""
        seen = [None]

        def look():
            seen[0] = self.get(path)
            return seen[0][0] == 200 and re.search(pattern, seen[0][1])

        try:
            wait_for(f"{path} of {self.name} to show {pattern!r}", seconds, look)
        except Failed as failed:
            raise Failed(f"{failed}; it shows {seen[0]}") from None

    def heroku(self, *words):
        return self.platform.heroku(*words, "-a", self.name)

    def api(self, method, path="", body=None):
        return self.platform.api(method, f"/apps/{self.name}{path}", body)


# === Node.js ===


def express_with_the_builtin_buildpack(platform):
    # Without its Procfile, what runs is the buildpack's default.
    project = Project(platform, "express", {"Procfile": None}, example="express")
    project.push().says(
        r"remote: -----> Node\.js app detected",
        r"remote: -----> Creating runtime environment",
        r"remote:        NODE_ENV=production",
        r"remote: -----> Installing binaries",
        r"remote:        engines\.node \(package\.json\): +22\.x",
        r"remote:        Resolving node version 22\.x\.\.\.",
        r"remote:        Downloading and installing node 22\.\d+\.\d+\.\.\.",
        r"remote: -----> Installing dependencies",
        r"remote:        Installing node modules",
        r"remote: -----> Pruning devDependencies",
        r"remote: -----> Build succeeded!",
        r"remote:        Procfile declares types     -> \(none\)",
        r"remote:        Default types for buildpack -> web",
        r"remote:        Released v3",
        r"remote: Verifying deploy\.\.\. done\.",
    )
    project.shows("/", "<html")
    status, page = project.get("/hello")
    hello = json.loads(page)
    assert (status, hello["dyno"], hello["client"], hello["secure"]) == (200, "web.1", "127.0.0.1", False), page
    project.heroku("ps").ends().says(r"=== web \(Basic\): npm start \(1\)")
    project.push({"public/new.txt": "second\n"}).says(
        r"Using buildpack: heroku/nodejs",
        r"Using cached node 22\.",
        r"Using cached node_modules: package-lock\.json has not changed",
        r"Released v4",
    )
    project.shows("/new.txt", "second")
    package = json.loads((project.repository / "package.json").read_text())
    package["engines"]["node"] = "99.x"
    project.push({"package.json": json.dumps(package)}, code=1).says(
        r'Error: No matching Node\.js version found for "99\.x"',
        r"newest of each major version are: .*24\.\d+\.\d+, .*22\.\d+\.\d+",
        r"Push rejected, failed to compile Node\.js app",
        r"\[remote rejected\]",
    )
    project.shows("/new.txt", "second")


def node_builds_for_python(platform):
    """Two built-in buildpacks, as for a site whose assets are bundled: both runtimes are there, in the hook and in the dyno."""
    package = {
        "name": "site",
        "version": "1.0.0",
        "engines": {"node": "22.x"},
        "scripts": {"build": """node -e "fs.writeFileSync('public/bundle.txt', process.env.BUNDLE_FOR + '\\n')" """},
    }
    files = {
        "package.json": json.dumps(package),
        "requirements.txt": "cowsay==6.1\n",
        ".python-version": "3.13\n",
        "bin/post_compile": "#!/bin/bash\necho hook with $(node --version) and $(python --version)\n",
        "bin/server.py": SERVER,
        "public/index.html": "",
        "Procfile": "web: echo $(node --version) $(python -c 'import cowsay; print(cowsay.__version__)') > public/both.txt; exec python bin/server.py\n",
    }
    project = Project(platform, "site", files)
    project.heroku("buildpacks:set", "heroku/nodejs").ends()
    project.heroku("buildpacks:add", "heroku/python").ends()
    project.heroku("config:set", "BUNDLE_FOR=production").ends()
    project.push().says(r"1\. heroku/nodejs", r"2\. heroku/python", r"Running build", r"hook with v22\.\d+\.\d+ and Python 3\.13", r"Procfile declares types -> web")
    project.shows("/bundle.txt", "^production$")
    project.shows("/both.txt", r"^v22\.\d+\.\d+ 6\.1$")
    project.push({"public/index.html": "2"}).says(r"Using cached node 22", r"hook with v22")
    project.shows("/both.txt", r"^v22\.\d+\.\d+ 6\.1$")


# === buildpacks of others ===

HOOK = """#!/bin/bash
echo "the hook has: $FROM_EXPORT"
"""


def buildpacks_of_others(host, platform):
    commit = host.publish(platform)
    project = Project(platform, "greeter", {"hello": "", "bin/server.py": SERVER})
    project.heroku("config:set", "GREETING=good morning").ends()
    project.heroku("buildpacks:set", f"{host.url}#no-such-ref").ends()
    project.push(code=1).says(r"no branch, tag or commit no-such-ref", "Push failed")
    project.heroku("buildpacks:set", host.url).ends()
    project.push(code=1).says("Push failed", "bin/detect")
    project.heroku("buildpacks:set", f"{host.url}#v1").ends()
    project.push().says(
        rf"remote: -----> Using buildpack: {re.escape(host.url)}#v1",
        rf"remote:        commit {commit}",
        r"remote: -----> Hello app detected",
        r"remote: -----> Greeting, build 1",
        r"remote:        to standard error",
        r"remote:        Default types for buildpack -> web",
        r"Released v",
    )
    project.shows("/greeting.txt", "^good morning$")
    project.shows("/profile.txt", "^sourced in /app$")
    project.heroku("config:get", "HELLO_DEFAULT").ends().says("^of the buildpack$")

    project.heroku("buildpacks:add", "heroku/python").ends()
    project.push({"requirements.txt": "", ".python-version": "3.13\n", "bin/post_compile": HOOK, "Procfile": WEB}).says(
        r"remote: -----> Using buildpacks:",
        rf"remote:        1\. {re.escape(host.url)}#v1",
        r"remote:        2\. heroku/python",
        r"remote: -----> Greeting, build 2",
        r"remote: -----> Python app detected",
        r"remote:        the hook has: sourced for the next",
        r"remote:        Procfile declares types -> web",
    )
    # The same one as an archive, by a name and a password that nobody shall read.
    archive = host.archive_url.replace("://", "://somebody:password@")
    project.heroku("buildpacks:set", archive).ends()
    pushed = project.push({"again": "3"}).says(rf"1\. {re.escape(host.archive_url)} *$", r"Greeting, build 3")
    assert "password" not in pushed.text, pushed.text
    status, builds = project.api("GET", "/builds")
    assert status == 200 and [build["status"] for build in builds].count("succeeded") == 3, builds
    project.write({"hello": None})
    project.push(code=1).says(rf"App not compatible with buildpack: {re.escape(host.archive_url)}", "Push failed")
    project.shows("/greeting.txt", "^good morning$")


# === the release phase ===

MIGRATE = """#!/bin/bash
for step in 1 2 3 4 5; do echo "migrating $step of 5 as ${DYNO%%.*}"; sleep 0.3; done
[ "${BREAKS:-}" != yes ] || { echo "the table is locked"; exit 3; }
"""


def release_phase_and_rollback(platform):
    files = {"Procfile": WEB + "release: ./migrate\n", "migrate": MIGRATE, "bin/server.py": SERVER, "public/version.txt": "one\n"}
    project = Project(platform, "phases", files)
    release_output_streams(project)
    project.shows("/version.txt", "one")

    first = project.branch()
    project.write({"migrate": MIGRATE + "exit 7\n"})
    project.push({"public/version.txt": "two\n"}, code=1).says(
        r"remote: Running release command\.\.\.",
        r"remote: migrating 5 of 5 as release",
        r"remote: +! +Release command ended with status 7",
        r"Push rejected to phases",
        r"\[remote rejected\]",
    )
    assert project.get("/version.txt") == (200, "one\n"), "the old release does not serve"
    assert project.branch() == first, "the branch has moved with a release that failed"
    failed = newest_release(project)
    assert failed["status"] == "failed" and not failed["current"], failed
    project.heroku("releases").ends().says(rf"v{failed['version']} +.*release command failed", r"v3 +Deploy")
    project.heroku("releases:output", f"v{failed['version']}").ends().says(r"\Amigrating 1 of 5", "status 7")

    project.push({"migrate": MIGRATE}).says(r"Verifying deploy\.\.\. done")
    project.shows("/version.txt", "two")
    refused = project.heroku("rollback", f"v{failed['version']}")
    assert refused.code != 0, refused.text
    refused.says("not eligible for rollback")
    project.heroku("rollback", "v3").ends().says(r"Rolling back (⬢ )?phases.* to v3")
    project.shows("/version.txt", "one")
    assert newest_release(project)["description"] == "Rollback to v3"
    # A config change has its release phase as well, and fails by it.
    project.heroku("config:set", "BREAKS=yes").ends()
    wait_for("the release command's failure", 30, lambda: newest_release(project)["status"] == "failed")
    project.heroku("releases:output").ends().says("the table is locked", "status 3")
    project.shows("/version.txt", "one")

    project.heroku("config:unset", "BREAKS").ends()
    wait_for("the release that works again", 30, lambda: newest_release(project)["status"] == "succeeded")
    nobody_waits_for_the_release(project)


def nobody_waits_for_the_release(project):
    """Ctrl-C while the release command runs: the release comes, and the branch moves."""
    push = project.begin_push({"public/version.txt": "three\n"})
    read_until(push, "migrating 2 of 5")
    os.killpg(push.pid, signal.SIGINT)
    push.communicate(timeout=20)
    project.shows("/version.txt", "three")
    wait_for("the branch to move", 10, lambda: project.branch() == project.head())


def release_output_streams(project):
    """The command's first line is read while the command still runs."""
    push = project.begin_push()
    with push:
        read_until(push, "migrating 1 of 5 as release")
        assert newest_release(project)["status"] == "pending", newest_release(project)
        rest = push.stdout.read()
        assert push.wait(60) == 0, rest
    assert "migrating 5 of 5" in rest and "Verifying deploy... done." in rest, rest


def newest_release(project):
    status, releases = project.api("GET", "/releases")
    assert status == 200, releases
    return max(releases, key=lambda release: release["version"])


# === WebSocket ===


def websockets_through_the_router(platform):
    project = Project(platform, "echo", example="websocket")
    project.push().says(r"Procfile declares types -> web", r"Verifying deploy\.\.\. done")
    for tls in (False, True):
        with websocket(platform, "echo", tls) as client:
            assert receive(client) == (1, b"hello from web.1")
            for message in ("short", "x" * 40_000):
                send(client, message.encode())
                assert receive(client) == (1, message.encode()), f"no echo of {len(message)} bytes"
    # It is logged when it is over, as any request.
    wait_for("the router's line", 20, lambda: re.search(r"heroku\[router\].*path=\"/socket\".* status=101", project.heroku("logs", "-n", "500").text))


# === workers ===


def workers_are_scaled(platform):
    project = Project(platform, "workshop", example="procfile")
    project.heroku("config:set", "WORK_SECONDS=0.2").ends()
    project.push().says(r"Procfile declares types -> web, worker")
    project.heroku("ps:scale", "worker=2").ends().says("worker at 2:Basic")
    log_shows(project, r"app\[worker\.1\]: work 3$", r"app\[worker\.2\]: work 3$", r"heroku\[worker\.2\]: State changed from starting to up")
    project.heroku("ps").ends().says(r"=== worker \(Basic\): bin/work +# a comment here.* \(2\)", r"worker\.1: up", r"worker\.2: up", r"web\.1: up")
    project.heroku("ps:scale", "worker=0").ends().says("worker at 0:Basic")
    log_shows(project, r"app\[worker\.1\]: stopping after \d+", r"app\[worker\.2\]: stopping after \d+", r"app\[api\]: Scaled to .*worker@0:Basic")
    wait_for("the workers to go", 30, lambda: "worker" not in project.heroku("ps").out)
    assert project.get()[0] == 200, "web has gone with the workers"


def log_shows(project, *patterns):
    seen = [""]

    def look():
        seen[0] = project.heroku("logs", "-n", "1500").text
        return all(re.search(pattern, seen[0], re.M) for pattern in patterns)

    try:
        wait_for("log lines", 30, look, every=0.5)
    except Failed:
        missing = [pattern for pattern in patterns if not re.search(pattern, seen[0], re.M)]
        raise Failed(f"nothing like {missing} in\n{seen[0][-6000:]}") from None


# === the build API ===


class Reader:
    """Somebody who reads an output stream as it comes."""

    def __init__(self, url):
        self.url, self.text, self.failure = url, "", None
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        try:
            with urllib.request.urlopen(self.url, timeout=60) as answer:
                while chunk := answer.read1(65536):
                    self.text += chunk.decode()
        except OSError as error:
            self.failure = error

    def sees(self, text):
        wait_for(f"{text!r} in an output stream", 60, lambda: text in self.text or self.failure)

    def whole(self):
        self.thread.join(60)
        assert not self.thread.is_alive() and not self.failure, f"{self.failure}, {self.text}"
        return self.text


def uploads_are_built(platform):
    project = Project(platform, "uploads")
    files = {
        "requirements.txt": "",
        ".python-version": "3.13\n",
        "bin/post_compile": "#!/bin/bash\nfor n in $(seq 20); do echo hook $n; sleep 0.2; done\n",
        "Procfile": WEB,
        "bin/server.py": SERVER,
        "public/version.txt": "by upload\n",
    }
    # As code hosts pack it: everything in one folder.
    archive = tarball({f"uploads-abc1234/{name}": text for name, text in files.items()})
    source = upload(platform, archive)
    status, build = project.api("POST", "/builds", blob(source, archive, version="abc1234"))
    assert (status, build["status"], build["slug"]) == (201, "pending", None), build
    first = Reader(build["output_stream_url"])
    first.sees("hook 3\n")
    status, seen = project.api("GET", f"/builds/{build['id']}")
    assert (status, seen["status"]) == (200, "pending"), seen
    second = Reader(build["output_stream_url"])
    second.sees("hook 3\n")
    late = Reader(build["output_stream_url"])
    text = first.whole()
    assert second.whole() == text and late.whole() == text
    assert "hook 20\n" in text and "-----> Launching..." in text, text
    wait_for("the build's row", 20, lambda: project.api("GET", f"/builds/{build['id']}")[1]["status"] == "succeeded")
    assert Reader(build["output_stream_url"]).whole() == text, "the output is another one after the end"
    rows_fit(project, build["id"])
    project.shows("/version.txt", "by upload")
    wrong = blob(upload(platform, archive), b"something else")
    status, build = project.api("POST", "/builds", wrong)
    assert status == 201, build
    assert "SHA-256" in Reader(build["output_stream_url"]).whole()
    wait_for("the failure", 20, lambda: project.api("GET", f"/builds/{build['id']}")[1]["status"] == "failed")


def slugs_are_brought(platform):
    """As Heroku's page on slugs from scratch has it: said, put, released; no git, no buildpack."""
    project = Project(platform, "brought")
    archive = tarball({"./app/bin/server.py": SERVER, "./app/public/version.txt": "brought\n", "./beside.txt": "left out"})
    slug = say_slug(project, archive)
    status, refused = project.api("POST", "/releases", {"slug": slug["id"]})
    assert status == 422 and "Nothing was uploaded" in refused["message"], refused
    put_slug(slug, archive)
    status, release = project.api("POST", "/releases", {"slug": slug["id"]})
    assert (status, release["slug"]["id"], release["description"]) == (201, slug["id"], "Deploy 60883d9e"), release
    project.shows("/version.txt", "brought")
    # What lies in the archive can be asked of the dyno, what lay beside ./app can not; and no build is shown.
    project.heroku("run", "ls / /app").ends().says("bin", "public")
    assert project.api("GET", "/builds") == (200, [])
    project.heroku("releases").ends().says(r"v3 +Deploy 60883d9e")
    status, seen = project.api("GET", f"/slugs/{slug['id']}")
    assert (seen["blob"]["method"], seen["checksum"], seen["size"] > 0) == ("get", slug["checksum"], True), seen
    with urllib.request.urlopen(seen["blob"]["url"], timeout=20) as answer:
        assert answer.read() == archive

    # Damaged, not what was promised, or without ./app: said where it is asked, and what ran goes on.
    for content, checksum, says in [
        (archive[:-200], None, "can't be read"),
        (archive, "0" * 64, "not what was promised"),
        (tarball({"bin/server.py": SERVER}), None, "no directory ./app"),
        (tarball({"./app/x": "y", "../outside": "z"}), None, "outside"),
    ]:
        bad = say_slug(project, content, checksum)
        put_slug(bad, content)
        status, refused = project.api("POST", "/releases", {"slug": bad["id"]})
        assert status == 422 and says in refused["message"], refused
    assert newest_release(project)["version"] == 3
    project.shows("/version.txt", "brought")


def say_slug(project, archive, checksum=None):
    body = {
        "process_types": {"web": "exec python3 bin/server.py"},
        "commit": "60883d9e",
        "stack": "heroku-24",
        "checksum": f"SHA256:{checksum or hashlib.sha256(archive).hexdigest()}",
    }
    status, slug = project.api("POST", "/slugs", body)
    assert (status, slug["blob"]["method"], slug["size"]) == (201, "put", None), slug
    return slug


def put_slug(slug, archive):
    put = urllib.request.Request(slug["blob"]["url"], archive, {"Content-Type": ""}, method="PUT")
    with urllib.request.urlopen(put, timeout=20) as answer:
        assert answer.status == 200


def tarball(files):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text), 0o755 if text.startswith("#!") else 0o644
            archive.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()


def upload(platform, archive):
    status, source = platform.api("POST", "/sources")
    assert status == 201, source
    urls = source["source_blob"]
    put = urllib.request.Request(urls["put_url"], archive, {"Content-Type": ""}, method="PUT")
    with urllib.request.urlopen(put, timeout=20) as answer:
        assert answer.status == 200
    with urllib.request.urlopen(urls["get_url"], timeout=20) as answer:
        assert answer.read() == archive
    return urls["get_url"]


def blob(url, content, version=None):
    return {"source_blob": {"url": url, "checksum": f"SHA256:{hashlib.sha256(content).hexdigest()}", "version": version}}


def rows_fit(project, build):
    """Build, slug and release name one another."""
    _, build = project.api("GET", f"/builds/{build}")
    status, slug = project.api("GET", f"/slugs/{build['slug']['id']}")
    assert (status, slug["process_types"]["web"]) == (200, "exec python3 bin/server.py"), slug
    assert slug["commit"] == "abc1234" and slug["size"] > 0, slug
    release = newest_release(project)
    assert release["id"] == build["release"]["id"] and release["slug"]["id"] == slug["id"], release
    assert release["current"] and release["description"] == "Deploy abc1234", release


# === Python ===


def python_of_the_buildpacks_choice(platform):
    files = {
        "requirements.txt": "cowsay==6.1\n",
        "Procfile": "web: python -c 'import cowsay, sys; print(sys.version)' > public/version.txt; exec python bin/server.py\n",
        "bin/server.py": SERVER,
        ".slugignore": "# not for the slug\n*.psd\n/docs\n",
        "public/logo.psd": "large",
        "docs/a.md": "a",
        "docs/b.md": "b",
        "public/docs/kept.md": "kept\n",
    }
    project = Project(platform, "default", files)
    project.push().says(
        r"remote: -----> Deleting 3 files matching \.slugignore patterns\.",
        r"remote: -----> No Python version was specified\. Using the buildpack default: Python 3\.14",
        r"remote: -----> Installing Python 3\.14\.\d+",
        r"remote: -----> Installing pip \d+",
        r"cowsay==6\.1",
    )
    project.shows("/version.txt", r"^3\.14\.")
    project.shows("/docs/kept.md", "kept")
    assert project.get("/logo.psd")[0] == 404
    project.push({"note": "2"}).says(
        r"Using the same major version as the last build: Python 3\.14", r"Using cached install of Python 3\.14\.\d+"
    )


# A lock file names its sources; with none, pipenv asks its own default. The hash is of the Pipfile.
PIPFILE = '[packages]\ncowsay = "==6.1"\n\n[requires]\npython_version = "3.13"\n'
PIPFILE_LOCK = {
    "_meta": {
        "hash": {"sha256": "d04884798909ca81c206b40fd0950cb07bf73b8ce560f251e870ee86da7c738c"},
        "pipfile-spec": 6,
        "requires": {"python_version": "3.13"},
        "sources": [],
    },
    "default": {"cowsay": {"hashes": ["sha256:274b1e6fc1b966d53976333eb90ac94cb07a450a700b455af9fbdf882244b30a"], "version": "==6.1"}},
    "develop": {},
}
PYPROJECT = """[project]
name = "shouter"
version = "0"
requires-python = ">=3.10"
dependencies = ["greeter"]

[tool.uv.sources]
greeter = { path = "wheels/greeter-1.0-py3-none-any.whl" }
"""
UV_LOCK = """version = 1
revision = 3
requires-python = ">=3.10"

[[package]]
name = "greeter"
version = "1.0"
source = { path = "wheels/greeter-1.0-py3-none-any.whl" }
wheels = [
    { filename = "greeter-1.0-py3-none-any.whl", hash = "sha256:HASH" },
]

[[package]]
name = "shouter"
version = "0"
source = { virtual = "." }
dependencies = [
    { name = "greeter" },
]

[package.metadata]
requires-dist = [{ name = "greeter", path = "wheels/greeter-1.0-py3-none-any.whl" }]
"""


def pipenv_and_uv(platform):
    serve = {"bin/server.py": SERVER, "public/index.html": ""}
    start = "web: python -c 'import {0}; print({0}.__file__)' > public/module.txt; exec python bin/server.py\n"
    pipenv = Project(
        platform, "pipenv", {**serve, "Pipfile": PIPFILE, "Pipfile.lock": json.dumps(PIPFILE_LOCK), "Procfile": start.format("cowsay")}
    )
    pipenv.push().says(
        r"Using Python 3\.13 specified in Pipfile\.lock",
        r"-----> Installing Pipenv \d+",
        r"-----> Installing dependencies using 'pipenv install --deploy'",
    )
    pipenv.shows("/module.txt", "^/app/.heroku/python/lib/python3.13/site-packages/cowsay/")

    packed = wheel()
    lock = UV_LOCK.replace("HASH", hashlib.sha256(packed).hexdigest())
    files = {**serve, "pyproject.toml": PYPROJECT, "uv.lock": lock, "wheels/greeter-1.0-py3-none-any.whl": packed, "Procfile": start.format("greeter")}
    uv = Project(platform, "uv-locked", files)
    uv.push(code=1).says(r"Error: No Python version was specified\.", r'echo "3\.14" > \.python-version')
    uv.push({".python-version": "3.13\n"}).says(
        r"-----> Installing uv \d+",
        r"-----> Installing dependencies using 'uv sync --locked --no-default-groups'",
        r"\+ greeter==1\.0",
    )
    uv.shows("/module.txt", "^/app/.heroku/python/lib/python3.13/site-packages/greeter.py")
    uv.push({"uv.lock": lock.replace('requires-dist = [{ name = "greeter"', 'requires-dist = [{ name = "other"')}, code=1).says(
        "Unable to install dependencies using uv", r"Correct uv\.lock"
    )


def wheel():
    packed = io.BytesIO()
    info = "greeter-1.0.dist-info"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("greeter.py", "")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: greeter\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return packed.getvalue()


def python_that_cannot_be_had(platform):
    project = Project(platform, "old-python", {"requirements.txt": "", ".python-version": "3.8\n", "Procfile": WEB})
    project.push(code=1).says(
        r"Error: Python 3\.8 isn't available here\.", r"These versions are: .*3\.13\.\d+", r"Push rejected, failed to compile Python app"
    )
    project.push({".python-version": "three\n"}, code=1).says(r"Error: Invalid Python version in \.python-version\.", "It holds: three")
    assert project.branch() is None, "a build that failed has moved the branch"


# === disturbed pushes ===


def pushes_get_in_each_others_way(platform):
    app = App(platform, "disturbed", slow_build=True)
    app.commit()
    first = app.push()
    read_until(first, "hook 1")
    second, _ = app.push().communicate(timeout=60)
    assert "Another build of this app is in progress. Wait for it to end, then push again." in second, second
    assert "[remote rejected]" in second, second
    status, said = platform.api("POST", "/apps/disturbed/builds", {"source_blob": {"url": "http://127.0.0.1:9/x.tgz"}})
    assert status in (409, 422) and "in progress" in said["message"], f"{status} {said}"
    said, _ = first.communicate(timeout=120)
    assert first.returncode == 0, said
    app.serves()

    # The client dies in the middle: the deploy is the platform's from its first line on.
    commit = app.commit()
    push = app.push()
    read_until(push, "hook 2")
    os.killpg(push.pid, signal.SIGKILL)
    push.communicate()
    app.serves(60)
    wait_for("the release's commit", 20, lambda: app.current_commit() == commit)
    answer = platform.git("ls-remote", platform.git_url("disturbed"), "refs/heads/main", cwd=app.repository).ends().out
    assert answer.startswith(commit), f"main is at {answer}"
    platform.git("push", platform.git_url("disturbed"), "HEAD:refs/heads/main", cwd=app.repository).ends().says("Everything up-to-date")
    platform.heroku("releases", "-a", "disturbed").ends().says(rf"v4 +Deploy {commit[:8]}", r"v3 +Deploy")
