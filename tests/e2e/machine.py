"""What an instance has on this machine, what its ledger says, and what its logs hold: looked at from outside."""

import os
import pathlib
import re
import sqlite3
import struct
import subprocess
import sys
import uuid

from platform_under_test import Failed


def _lines(*command):
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.splitlines()


# === the machine ===


def snapshot(platform):
    """Everything of an instance that the kernel or the node's directory holds: kind to sorted list."""
    data = str(platform.data)
    instance = platform.instance()
    links = [line.split()[0].partition("@")[0] for line in _lines("ip", "-br", "link")]
    return {
        "mounts": sorted(_mount(line) for line in pathlib.Path("/proc/mounts").read_text().splitlines() if data in line),
        "loop devices": sorted(line.split()[1] for line in _lines("losetup", "-n", "-l", "-O", "NAME,BACK-FILE") if data in line),
        "links": sorted(link for link in links if re.match(rf"r[a-z]{instance}(-\d+)?$", link)),
        "nft": sorted(_nft(instance)),
        "cgroups": sorted(_cgroups(instance)),
        "processes": sorted(processes_of(platform, instance)),
        "dynos": _names(platform.data / "node/dynos"),
        "node's temporary files": _names(platform.data / "node/tmp"),
        "images": _names(platform.data / "node/images"),
        "layers": _names(platform.data / "node/layers"),
        "exchange": _names(platform.data / "exchange"),
        "logs": [name for name in _names(platform.data / "logs") if "." not in name],
        "outputs": _names(platform.data / "outputs"),
        "git": [name for name in _names(platform.data / "git") if name.endswith(".git")],
    }


def differences(before, after):
    """One line per thing that is in one snapshot only."""
    told = []
    for kind, was in before.items():
        told += [f"- {kind}: {thing}" for thing in was if thing not in after[kind]]
        told += [f"+ {kind}: {thing}" for thing in after[kind] if thing not in was]
        if not told and sorted(was) != sorted(after[kind]):
            told.append(f"{kind}: {len(was)} became {len(after[kind])}")
    return told


def _names(directory):
    return sorted(entry.name for entry in directory.iterdir()) if directory.is_dir() else []


def _mount(line):
    device, target, kind = line.split()[:3]
    return f"{re.sub(r'^/dev/loop[0-9]+', '/dev/loop', device)} {target} {kind}"


def _nft(instance):
    """The table's rules without what counts or learns by itself."""
    text = "\n".join(_lines("nft", "-s", "list", "table", "inet", f"renga_{instance}"))
    return [line.strip() for line in re.sub(r"counter packets \d+ bytes \d+", "counter", text).splitlines() if line.strip() not in ("", "}")]


def _cgroups(instance):
    roots = [root for root in pathlib.Path("/sys/fs/cgroup").glob("*") if not root.is_symlink()] + [pathlib.Path("/sys/fs/cgroup")]
    for root in roots:
        top = root / f"renga-{instance}"
        for directory, _, _ in os.walk(top):
            yield directory


def processes_of(platform, instance):
    """Roles by name, everything else by pid: roles may be new ones, dynos must not."""
    roles = {pid: role for role, pid in platform.role_pids().items()}
    data, group = os.fsencode(platform.data), f"renga-{instance}".encode()
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command, groups = (entry / "cmdline").read_bytes(), (entry / "cgroup").read_bytes()
        except OSError:
            continue
        if int(entry.name) in roles:
            yield f"role {roles[int(entry.name)]}"
        elif command and (group in groups or command.startswith(data)):
            yield f"{entry.name} {command.split(bytes(1))[0].decode(errors='replace')}"


# === the ledger ===


class Ledger:
    """Reads of the live database. Every call sees one state."""

    def __init__(self, platform):
        self.platform = platform
        self.file = platform.data / "ledger/ledger.db"

    def rows(self, sql, *values):
        connection = sqlite3.connect(f"file:{self.file}?mode=ro", uri=True, timeout=10)
        try:
            return connection.execute(sql, values).fetchall()
        finally:
            connection.close()

    def unfinished_builds(self):
        return self.rows("SELECT status FROM build WHERE status IN ('pending', 'building')")

    def dynos(self, app):
        """Name to (id, state) of an app's formation."""
        rows = self.rows(
            "SELECT process_type, number, dyno.id, state FROM dyno JOIN app ON app.id = dyno.app WHERE app.name = ? AND kind = 'formation'", app
        )
        return {f"{kind}.{number}": (str(uuid.UUID(bytes=bytes(id))), state) for kind, number, id, state in rows}

    def check(self):
        """Whole, without gaps, and nothing that the node has not."""
        [[verdict]] = self.rows("PRAGMA integrity_check")
        if verdict != "ok":
            raise Failed(f"the ledger is damaged: {verdict}")
        if broken := self.rows("PRAGMA foreign_key_check"):
            raise Failed(f"rows without what they name: {broken}")
        for app, name in self.rows("SELECT id, name FROM app"):
            versions = [version for version, in self.rows("SELECT version FROM release WHERE app = ? ORDER BY version", app)]
            if versions != list(range(1, len(versions) + 1)):
                raise Failed(f"{name}'s releases have gaps: {versions}")

    def settled(self):
        """None when nothing is under way and rows and node agree; otherwise what is not yet so."""
        if builds := self.unfinished_builds():
            return f"unfinished builds: {builds}"
        if pending := self.rows("SELECT version FROM release WHERE status = 'pending'"):
            return f"pending releases: {pending}"
        rows = {str(uuid.UUID(bytes=bytes(id))): state for id, state in self.rows("SELECT id, state FROM dyno")}
        moving = {id: state for id, state in rows.items() if state not in ("up", "frozen", "exited")}
        if moving:
            return f"dynos on their way: {moving}"
        here = set(_names(self.platform.data / "node/dynos"))
        there = {id for id, state in rows.items() if state != "exited"}
        if here != there:
            return f"rows without a dyno: {sorted(there - here)}, dynos without a row: {sorted(here - there)}"
        return None


# === logs ===

_FILE_HEAD = struct.Struct("<8sQI")
_RECORD_HEAD = struct.Struct("<IIQQ16sB3x")
_LINE_HEAD = struct.Struct("<qBH")


class Journal:
    """Collects every line that ever stood in an app's log: each of the two bounded files is linked aside as it appears.

    By a process of its own: a burst that waited fills a file in a few milliseconds, and only two stay.
    """

    def __init__(self, platform, app_id):
        self.kept = platform.home / f"journal-{app_id}"
        self.kept.mkdir()
        collect = [sys.executable, pathlib.Path(__file__).with_name("journal_collector.py")]
        self.collector = subprocess.Popen(
            [*collect, platform.data / "logs" / app_id, self.kept], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.collector.stdout.read(1)

    def stop(self):
        self.collector.communicate()
        if self.collector.returncode != 0:
            raise Failed(f"the collector of the journal exited with {self.collector.returncode}")

    def lines(self):
        """(is of the platform, ps, text), oldest first."""
        expected = 1
        for name in _names(self.kept):
            data = (self.kept / name).read_bytes()
            _, first, positions = _FILE_HEAD.unpack_from(data, 0)
            if first != expected:
                raise Failed(f"records {expected} to {first - 1} of the journal are missing (or were not collected in time)")
            at = 24 + 24 * positions
            while at + _RECORD_HEAD.size <= len(data):
                _, size, number, _, _, _ = _RECORD_HEAD.unpack_from(data, at)
                if number != expected:
                    raise Failed(f"the journal goes from record {expected - 1} to {number} in {name}")
                at += _RECORD_HEAD.size
                _, source, ps_bytes = _LINE_HEAD.unpack_from(data, at)
                text = data[at + _LINE_HEAD.size : at + size]
                yield bool(source), text[:ps_bytes].decode(), text[ps_bytes:].decode(errors="replace")
                at += size
                expected += 1
