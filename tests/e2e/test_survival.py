"""The platform outlives its machine and its own program: backup and restore, upgrade."""

import concurrent.futures
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import tempfile
import threading
import time

from app_under_test import App, dyno_processes
from platform_under_test import RENGA, Failed, Platform, wait_for
from test_load import Load, app_under_load


def test_a_backup_becomes_a_platform_on_an_empty_machine():
    with Platform() as first:
        app = App(first, "kept")
        app.deploy()
        status, _ = app.configure(GREETING="still here")
        assert status == 200
        file = first.home / "platform.backup"
        with PushLoop(app) as loop:
            loop.pushed(1)
            backup(first, file)
            loop.pushed(loop.count + 1)
        refused_backups(first, file)
        before = {key: ask(first, path) for key, path in looks(app).items()}
        first.stop()
        subprocess.run([RENGA, "uninstall", "--yes", "--data-dir", first.data], check=True, capture_output=True)

        with restored(first, file) as second:
            app.platform = app.ledger.platform = second
            app.ledger.file = second.data / "ledger/ledger.db"
            came_back(second, app, before)


def came_back(platform, app, before):
    """As of one moment: config, releases and branch belong together, and everything goes on from there."""
    after = {key: ask(platform, path) for key, path in looks(app).items()}
    assert after["config"] == before["config"] == {"GREETING": "still here"}, after["config"]
    known = {release["version"]: release["description"] for release in before["releases"]}
    wait_for("no release to be pending", 60, lambda: not app.ledger.rows("SELECT 1 FROM release WHERE status = 'pending'"))
    for release in after["releases"]:
        assert known[release["version"]] == release["description"], f"{release} was not there before"
    commit = app.current_commit()
    clone = platform.home / "clone"
    platform.git("clone", "-q", platform.git_url(app.name), clone).ends()
    history = platform.git("log", "--format=%H %s", cwd=clone).ends().out.splitlines()
    assert history[0].startswith(commit), f"{commit} runs, and the branch says {history}"
    app.deploys = int(history[0].rpartition(" ")[2])
    assert len(history) == app.deploys + 1, history
    app.serves()
    app.settle(web=1)
    platform.run(RENGA, "rollback", "v3", "-a", app.name).ends()
    wait_for("the page of deploy 1", 30, lambda: app.page() == (200, "deploy 1\n"))
    app.deploys += 100
    app.deploy()


def looks(app):
    return {"config": f"/apps/{app.name}/config-vars", "releases": f"/apps/{app.name}/releases"}


def ask(platform, path):
    status, answer = platform.api("GET", path)
    assert status == 200, answer
    return answer


def backup(platform, file):
    done = subprocess.run([RENGA, "backup", file, "--data-dir", platform.data], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    assert not list(platform.data.glob("backup")), "the backup left its folder"


def restore(file, data):
    with open(file, "rb") as backup:
        return subprocess.run([RENGA, "restore", "-", "--data-dir", data], stdin=backup, capture_output=True, text=True)


def restored(first, file):
    data = first.home / "restored"
    done = restore(file, data)
    assert done.returncode == 0, done.stderr
    # A dyno that was lost within its first minute would be tried again after ten seconds only; these are older, say.
    with sqlite3.connect(data / "ledger/ledger.db") as ledger:
        ledger.execute("UPDATE dyno SET created_at = created_at - 120000000")
    return Platform(data=data)


def refused_backups(platform, file):
    """Whatever is wrong is said, and nothing is left behind."""
    whole = file.read_bytes()
    stories = [
        ("in the middle|damaged", whole[: len(whole) // 2]),
        *(("damaged", changed_at(whole, len(whole) * part // 8)) for part in (2, 4, 6)),
        ("no backup", b"something else entirely\n" * 100),
        ("no backup that", b""),
    ]
    bad, target = platform.home / "bad.backup", platform.home / "nothing"
    for words, content in stories:
        bad.write_bytes(content)
        done = restore(bad, target)
        said = done.stderr
        if done.returncode == 0 or not any(word in said for word in words.split("|")):
            raise Failed(f"{words}: ended with {done.returncode}: {said}")
        left = [name for name in os.listdir(platform.home) if "nothing" in name]
        assert not left, left
    done = restore(file, platform.data)
    assert done.returncode == 1 and "not empty" in done.stderr, done.stderr


def changed_at(whole, place):
    changed = bytearray(whole)
    changed[place] ^= 1
    return bytes(changed)


class PushLoop:
    """Commits and pushes one after another, until the end of the block."""

    def __init__(self, app):
        self.app, self.count, self.failed, self.over = app, 0, None, threading.Event()
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def run(self):
        try:
            while not self.over.is_set():
                self.app.commit()
                push = self.app.push()
                said, _ = push.communicate(timeout=120)
                assert push.returncode == 0, said
                self.count += 1
        except Exception as failed:
            self.failed = failed

    def pushed(self, count):
        wait_for(f"{count} pushes", 120, lambda: self.failed or self.count >= count)
        if self.failed:
            raise self.failed

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        if self.failed:
            raise self.failed


def test_an_upgrade_is_felt_by_nobody():
    """Under load, to another build and further: all processes are new, no dyno is, and every request is answered."""
    with tempfile.TemporaryDirectory(prefix="renga-upgrade-") as builds:
        builds = pathlib.Path(builds)
        builds.chmod(0o755)
        program = another_build(builds / "installed", b"")
        with Platform(program=program) as platform:
            second = on_the_same_port(platform, builds / "second")
            app = app_under_load(platform, "steady")
            before, label = dyno_processes(app), f"deploy {app.deploys} stamp none"
            with Load(app) as load:
                for name in ("newer", "still-newer", "newest"):
                    newer = another_build(builds / name, name.encode())
                    old = platform.role_pids()
                    do = upgrade_beside_a_long_request if name == "newest" else upgrade
                    load.change(f"upgrade to the {name}", lambda newer=newer, do=do: do(platform, newer).ends(), label)
                    runs(platform, program, newer, old)
                    assert dyno_processes(app) == before, "the upgrade has restarted a dyno"
            load.judge(label)
            load.say()
            said, _ = second.communicate(timeout=30)
            assert second.returncode == 1 and "could not listen on 127.0.0.1" in said, said
            app.commit()
            push = app.push()
            said, _ = push.communicate(timeout=120)
            assert push.returncode == 0, said
            app.settle(web=2)
            assert platform.stop() == 0
            a_ledger_does_not_go_back(platform, newer)


def on_the_same_port(platform, data):
    """Root has bound it, for whom the kernel would let a second platform have it, too. It looks for five seconds."""
    router = platform.ports[platform.ports.index("--router") + 1]
    command = [platform.program, "up", "--data-dir", data, "--router", router, "--router-tls", "127.0.0.1:0"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def another_build(folder, tail):
    """The same program with other bytes."""
    folder.mkdir()
    program = folder / "renga"
    shutil.copy(RENGA, program)
    with open(program, "ab") as file:
        file.write(tail)
    return program


def upgrade(platform, program):
    return platform.run(program, "upgrade", "--data-dir", platform.data)


def upgrade_beside_a_long_request(platform, program):
    """While the old router ends a request of five seconds, the new one answers everybody else at once."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        long = pool.submit(platform.get, "steady", "/long")
        upgraded = pool.submit(upgrade, platform, program)
        wait_for("the old router to drain beside the new one", 30, lambda: draining(platform))
        for _ in range(20):
            begun = time.monotonic()
            status, said = platform.get("steady", timeout=10)
            assert status == 200 and time.monotonic() - begun < 2, (status, said, time.monotonic() - begun)
        assert not long.done() and not upgraded.done()
        assert long.result()[0] == 200
        return upgraded.result()


def draining(platform):
    command = [platform.program, "router:status", "--json", "--data-dir", platform.data]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode == 0 and any(router["in_flight"] for router in json.loads(done.stdout)["draining"])


def runs(platform, program, newer, old):
    """`renga up` is the process that it was; it and all roles run what was put in the old program's place."""
    assert program.read_bytes() == newer.read_bytes()
    assert platform.process.poll() is None
    roles = platform.role_pids()
    assert set(roles) == set(old) == {"up", "node", "server", "router"}, roles
    stale = [role for role, pid in roles.items() if os.stat(f"/proc/{pid}/exe").st_ino != program.stat().st_ino]
    assert not stale, f"{stale} still run the old program"
    assert [role for role in roles if roles[role] == old[role]] == ["up"], (old, roles)


def a_ledger_does_not_go_back(platform, older):
    with sqlite3.connect(platform.data / "ledger/ledger.db") as ledger:
        ledger.execute("PRAGMA user_version = 9999")
    command = [older, "upgrade", "--data-dir", platform.data]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and "Nothing was changed" in done.stderr, done
