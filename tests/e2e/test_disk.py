"""The disk fills up: nothing new is begun, what runs goes on, nobody crashes; with room again, everything goes on."""

import os
import pathlib
import re
import subprocess
import tempfile
import time

from app_under_test import App, answers, dyno_processes, kill
from platform_under_test import Failed, Platform, wait_for

MIB = 1024**2
DISK_BYTES = 1024 * MIB
FLOOR_MIB = 128
# How long the platform has to stand a disk without a single free block.
FULL_SECONDS = 5


class Disk:
    """A file system of its own, so that only the platform under test runs out of space."""

    def __enter__(self):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="renga-e2e-disk-"))
        self.home.chmod(0o711)
        self.path = self.home / "disk"
        self.path.mkdir()
        image = self.home / "image"
        with open(image, "wb") as file:
            file.truncate(DISK_BYTES)
        # Without reserved blocks: full is full, for root too.
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, self.path], check=True)
        self.ballast = self.path / "ballast"
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "--lazy", self.path], check=False)
        (self.home / "image").unlink()
        self.path.rmdir()
        self.home.rmdir()

    def free_bytes(self):
        disk = os.statvfs(self.path)
        return disk.f_bavail * disk.f_frsize

    def leave(self, left):
        """Takes space until so many bytes are free."""
        wanted = self.free_bytes() - left
        with open(self.ballast, "ab") as file:
            os.posix_fallocate(file.fileno(), file.tell(), wanted)

    def leave_nothing(self):
        with open(self.ballast, "ab", buffering=0) as file:
            for size in (MIB, 4096):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    pass

    def clear(self):
        self.ballast.unlink()


def test_full_disk():
    with Disk() as disk, Platform(data=disk.path / "data") as platform:
        config = platform.home / "renga.toml"
        config.write_text(f"[disk]\nfloor_mib = {FLOOR_MIB}\n")
        platform.flags = ["--config", config]
        platform.stop()
        platform.start()
        app = App(platform, "crowded")
        app.deploy()
        app.scale(web=1, ticker=1)
        app.settle(web=1, ticker=1)
        for story in (almost_full, full, killed_while_full):
            begun = time.monotonic()
            story(platform, disk, app)
            print(f"    {story.__name__}: {time.monotonic() - begun:.1f} s", flush=True)


def almost_full(platform, disk, app):
    """Below the floor: no push, no build, no start, each with its reason; the rest goes on."""
    before = dyno_processes(app)
    disk.leave((FLOOR_MIB - 32) * MIB)
    app.commit()
    said, _ = (push := app.push()).communicate(timeout=60)
    assert push.returncode != 0 and "disk is almost full" in said and f"{FLOOR_MIB} MiB must stay free" in said, said
    blob = {"source_blob": {"url": "https://example.com/a.tgz"}}
    status, answer = platform.api("POST", f"/apps/{app.name}/builds", blob)
    assert status == 503 and "disk is almost full" in answer["message"], answer
    platform.heroku("ps:scale", "web=2", "-a", app.name).ends(2).says("disk is almost full")
    platform.heroku("ps:restart", "web.1", "-a", app.name).ends()
    log_says(platform, app, "no room for the dyno now.*almost full")
    assert app.page()[0] == 200
    assert dyno_processes(app)["ticker.1"] == before["ticker.1"], "a dyno was restarted"

    disk.clear()
    app.settle(web=1, ticker=1)
    said, _ = (push := app.push()).communicate(timeout=120)
    assert push.returncode == 0, said
    app.serves()
    app.settle(web=1, ticker=1)


def full(platform, disk, app):
    """Not a block is free: reads and traffic go on, changes are refused, and afterwards nothing is broken."""
    pids, before = platform.role_pids(), dyno_processes(app)
    disk.leave_nothing()
    deadline, refused = time.monotonic() + FULL_SECONDS, 0
    while time.monotonic() < deadline:
        assert app.page()[0] == 200
        status, answer = platform.api("GET", f"/apps/{app.name}")
        assert status == 200, answer
        status, answer = platform.api("PATCH", f"/apps/{app.name}/config-vars", {"A": "x" * 20_000})
        assert status in (200, 503), answer
        if status == 503:
            assert "disk is full" in answer["message"], answer
            refused += 1
    assert refused, "a change was never refused"
    if (now := platform.role_pids()) != pids:
        raise Failed(f"processes were {pids} and are {now}\n{platform.operator_log()[-4000:]}")
    disk.clear()
    assert dyno_processes(app)["ticker.1"] == before["ticker.1"], "a dyno was restarted"
    recovered(platform, app)


def killed_while_full(platform, disk, app):
    """All three processes die on a full disk. They come back, or say why not, and all is well when there is room."""
    before = dyno_processes(app)
    disk.leave_nothing()
    for role in ("node", "server", "router"):
        kill(platform, role)
    time.sleep(1)
    disk.clear()
    answers(platform)
    assert dyno_processes(app)["ticker.1"] == before["ticker.1"], "a dyno was restarted"
    recovered(platform, app)


def recovered(platform, app):
    app.configure(A="after")
    app.deploy()
    app.settle(web=1, ticker=1)
    before = log(platform, app)
    wait_for("new lines of the ticker", 20, lambda: log(platform, app) != before)


def log_says(platform, app, pattern):
    """In what is not the app's own, which would drown it."""
    seen = [""]

    def look():
        seen[0] = platform.heroku("logs", "--source", "heroku", "-n", "200", "-a", app.name).ends().out
        return re.search(pattern, seen[0])

    try:
        wait_for(pattern, 30, look)
    except Failed as failed:
        raise Failed(f"{failed} in\n{seen[0]}\n{platform.operator_log()[-3000:]}") from None


def log(platform, app):
    return platform.heroku("logs", "-n", "200", "-a", app.name).ends().out
