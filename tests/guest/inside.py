"""The part of the guest's tests that runs in it: `inside.py STORY [WORD ...]`, with the end-to-end tests' own tools."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

from app_under_test import App, dyno_processes
from machine import Ledger
from platform_under_test import RENGA, Failed, Platform, wait_for

UNITS = ("renga-node", "renga-server", "renga-router")
DATA = pathlib.Path("/var/lib/renga")
HOME = pathlib.Path("/root/stories")
APPS = int(os.environ.get("RENGA_GUEST_APPS", "3"))
# Processes of its own that show each limit, printing what they met.
LIMITS = {
    "memory": "blocks = []\nwhile True:\n    blocks.append(bytearray(16 << 20)); print(f'took {16 * len(blocks)} MiB', flush=True)",
    "forks": "import os, time\nn = 0\ntry:\n    while True:\n        if os.fork() == 0: time.sleep(60); os._exit(0)\n        n += 1\nexcept OSError as refused:\n    print(f'forked {n} times, then: {refused}', flush=True)\n    time.sleep(600)",
    "disk": "import time\nn = 0\ntry:\n    with open('/tmp/full', 'wb') as f:\n        while True:\n            f.write(bytes(16 << 20)); f.flush(); n += 16\nexcept OSError as refused:\n    print(f'wrote {n} MiB, then: {refused}', flush=True)\n    time.sleep(600)",
    "groups": "import time\nprint(open('/proc/self/cgroup').read().strip(), flush=True)\ntime.sleep(600)",
}


class Installed(Platform):
    """The platform as systemd runs it, at its own paths and ports."""

    def __init__(self):
        self.home, self.user_home, self.data = HOME, HOME / "user", DATA
        self.user_home.mkdir(parents=True, exist_ok=True)
        self.flags, self.ports, self.process = [], [], None
        if (DATA / "endpoints.json").exists():
            self.endpoints = json.loads((DATA / "endpoints.json").read_text())

    def start(self):
        systemctl("start", *UNITS)
        # Written anew when the platform is ready.
        self.endpoints = wait_for("the platform to answer", 120, self.answers, every=0.1)

    def stop(self):
        systemctl("stop", *UNITS)

    def answers(self):
        try:
            self.endpoints = json.loads((DATA / "endpoints.json").read_text())
            return self.endpoints if self.api("GET", "/account")[0] == 200 else None
        except (OSError, ValueError):
            return None

    def operator_log(self):
        return subprocess.run(["journalctl", "-u", "renga-*", "-o", "cat", "-n", "200"], capture_output=True, text=True).stdout


def systemctl(*words):
    subprocess.run(["systemctl", *words], check=True)


def app_of(platform, name):
    """An app that an earlier story has made."""
    app = App.__new__(App)
    app.platform, app.name, app.ledger = platform, name, Ledger(platform)
    app.repository = next(HOME.glob(f"repository-{name}-*"))
    app.deploys = int((app.repository / "public/version.txt").read_text().split()[1])
    return app


# === the stories, in their order ===


def installs(platform):
    """`renga install`, as its own words go on."""
    said = subprocess.run([RENGA, "install", "--data-dir", DATA], check=True, capture_output=True, text=True).stdout
    command = re.search(r"systemctl daemon-reload && systemctl enable --now .*", said).group(0)
    for part in command.split(" && "):
        subprocess.run(part.split(), check=True)
    platform.start()
    for number in range(APPS):
        app = App(platform, f"app-{number}")
        app.deploy()
    app.settle(web=1)


def limits_hold(platform):
    app = App(platform, "limits")
    lines = ["web: exec python3 bin/server.py"]
    for name, script in LIMITS.items():
        (app.repository / f"bin/{name}.py").write_text(script)
        lines.append(f"{name}: exec python3 bin/{name}.py")
    (app.repository / "Procfile").write_text("\n".join(lines) + "\n")
    app.deploy()
    app.scale(**{name: 1 for name in LIMITS})
    for pattern in (
        r"heroku\[memory\.1\]: Error R15",
        r"app\[forks\.1\]: forked \d+ times, then: .*Resource temporarily unavailable",
        r"app\[disk\.1\]: wrote \d+ MiB, then: .*No space left",
        r"app\[groups\.1\]: 0::/",
    ):
        log_shows(platform, app, pattern)
    assert app.page()[0] == 200
    group = next(pathlib.Path("/sys/fs/cgroup").rglob(app.ledger.dynos(app.name)["groups.1"][0]))
    # Twice the quota, and one process more than a basic dyno may have: the init is ours.
    for file, wanted in (("memory.max", str(1024**3)), ("pids.max", "257")):
        found = (group / "app" / file).read_text().strip()
        assert found == wanted, f"{file} of a basic dyno is {found}"
    app.destroy()


def log_shows(platform, app, pattern):
    seen = [""]

    def look():
        seen[0] = platform.run(RENGA, "logs", "-n", "1500", "-a", app.name).out
        return re.search(pattern, seen[0])

    try:
        wait_for(pattern, 120, look, every=0.5)
    except Failed as failed:
        raise Failed(f"{failed} in\n{seen[0][-3000:]}") from None


def services_restart(platform):
    """One after the other, and all at once: no dyno is touched."""
    app = app_of(platform, "app-0")
    before = dyno_processes(app)
    for units in (["renga-node"], ["renga-server"], ["renga-router"], list(UNITS)):
        systemctl("restart", *units)
        platform.start()
        app.serves()
        app.settle(web=1)
        assert dyno_processes(app) == before, f"the restart of {units} has restarted a dyno"
    platform.stop()
    for pid in before["web.1"][1]:
        os.kill(pid, 0)
    platform.start()
    app.deploy()
    app.settle(web=1)


def upgrades(platform):
    """Another build in the place of the one that the units start: other processes, the same dynos."""
    app = app_of(platform, "app-0")
    before, old = dyno_processes(app), main_pids()
    newer = HOME / "renga"
    shutil.copy(RENGA, newer)
    with open(newer, "ab") as program:
        program.write(b"newer")
    said = subprocess.run([newer, "upgrade", "--data-dir", DATA], check=True, capture_output=True, text=True).stdout
    assert "node, server and router are new" in said, said
    assert RENGA.read_bytes() == newer.read_bytes()
    platform.endpoints = wait_for("the platform to answer", 120, platform.answers, every=0.1)
    new = main_pids()
    assert not set(new) & set(old), (old, new)
    stale = [pid for pid in new if os.stat(f"/proc/{pid}/exe").st_ino != RENGA.stat().st_ino]
    assert not stale, stale
    app.serves()
    app.settle(web=1)
    assert dyno_processes(app) == before, "the upgrade has restarted a dyno"


def main_pids():
    show = ["systemctl", "show", "-P", "MainPID", *UNITS]
    return [int(pid) for pid in subprocess.run(show, check=True, capture_output=True, text=True).stdout.split()]


def before_the_cut(platform):
    """Says what must be there afterwards: name and page of every app. A change is under way when the power goes."""
    for number in range(APPS):
        app = app_of(platform, f"app-{number}")
        app.serves()
    app_of(platform, "app-0").configure(CUT="1")
    os.sync()


def after_the_cut(platform):
    began = time.monotonic()
    platform.start()
    for number in range(APPS):
        serves_again(platform, app_of(platform, f"app-{number}"))
    app = app_of(platform, "app-0")
    app.settle(120, web=1)
    up = float(pathlib.Path("/proc/uptime").read_text().split()[0])
    print(f"figure: {APPS} apps serve {up:.1f} s after the kernel's start, {time.monotonic() - began:.1f} s of them waited for here")
    # And it is a platform as before.
    app.deploy()


def serves_again(platform, app):
    try:
        app.serves(120)
    except Failed as failed:
        said = platform.run(RENGA, "logs", "-n", "100", "-a", app.name).out
        raise Failed(f"{failed}\n{said}\n{platform.operator_log()}") from None


def uninstalls(platform):
    refused = subprocess.run([RENGA, "uninstall", "--yes", "--data-dir", DATA], capture_output=True, text=True)
    assert refused.returncode != 0 and "stop the platform first" in refused.stderr, refused
    systemctl("disable", "--now", *UNITS)
    subprocess.run([RENGA, "uninstall", "--yes", "--data-dir", DATA], check=True)
    assert not DATA.exists()
    left = [*pathlib.Path("/sys/fs/cgroup").glob("renga-*")]
    assert not left, left
    links = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True).stdout
    assert not re.search(r"^r[a-z]\w{4}", links, re.M), links
    shutil.rmtree(HOME)


if __name__ == "__main__":
    globals()[sys.argv[1]](Installed())
