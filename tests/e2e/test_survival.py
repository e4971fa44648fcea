"""The platform outlives its machine and its own program: backup and restore, upgrade."""

import os
import subprocess
import threading

from app_under_test import App
from platform_under_test import RENGA, Failed, Platform, wait_for


def test_a_backup_becomes_a_platform_on_an_empty_machine():
    with Platform() as first:
        app = App(first, "kept")
        app.deploy()
        status, _ = app.configure(GREETING="still here")
        assert status == 200
        app.deploy()
        file = first.home / "platform.backup"
        with PushLoop(app) as loop:
            loop.pushed(2)
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
    wait_for("the page of deploy 1", 30, lambda: app.page() == (200, "deploy 1\n") or app.page() == (200, "deploy 2\n"))
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
    return Platform(data=data)


def refused_backups(platform, file):
    """Whatever is wrong is said, and nothing is left behind."""
    whole = file.read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 1
    stories = {
        "in the middle|damaged": whole[: len(whole) // 2],
        "the middle|damaged|changed": bytes(damaged),
        "no backup": b"something else entirely\n" * 100,
        "no backup that": b"",
    }
    bad, target = platform.home / "bad.backup", platform.home / "nothing"
    for words, content in stories.items():
        bad.write_bytes(content)
        done = restore(bad, target)
        said = done.stderr
        if done.returncode == 0 or not any(word in said for word in words.split("|")):
            raise Failed(f"{words}: ended with {done.returncode}: {said}")
        left = [name for name in os.listdir(platform.home) if "nothing" in name]
        assert not left, left
    done = restore(file, platform.data)
    assert done.returncode == 1 and "not empty" in done.stderr, done.stderr


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
