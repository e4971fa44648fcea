"""Control groups v2, systemd's units, and a power cut: on a machine as users have it."""

import json
import os
import pathlib
import subprocess
import time

from guest import ROOT, Guest

RENGA = pathlib.Path(os.environ.get("RENGA_BIN", ROOT / "target/release/renga"))
INSIDE = ["python3", "/opt/renga/tests/guest/inside.py"]
# What needs the world, to which the guest has no way.
BEYOND_THE_GUEST = ["--skip", "real_names_are_resolved_and_the_world_is_reached"]
# They have deadlines, and the guest is slow.
TWO_AT_ONCE = ["--test-threads", "2"]
# Under emulation a story takes ten times as long.
STORY_SECONDS = 900


def test_a_machine_as_users_have_it():
    began = time.monotonic()
    with Guest(installed_files()) as guest:
        print(f"    the guest is up: {time.monotonic() - began:.1f} s", flush=True)
        assert guest.run("stat", "-f", "-c", "%T", "/sys/fs/cgroup").strip() == "cgroup2fs"
        for name in ("installs", "limits_hold", "services_restart", "upgrades", "before_the_cut"):
            story(guest, name)
        cut_power(guest)
        for name in ("after_the_cut", "uninstalls"):
            story(guest, name)


def soak_twenty_apps_are_back_after_a_power_cut():
    with Guest(installed_files()) as guest:
        for name in ("installs", "before_the_cut"):
            story(guest, name, apps=20)
        for _ in range(2):
            cut_power(guest)
            story(guest, "after_the_cut", apps=20)


def installed_files():
    return {
        "/usr/local/bin/renga": RENGA.resolve(),
        "/opt/renga/tests": ROOT / "tests",
        "/opt/renga/examples": ROOT / "examples",
    }


def cut_power(guest):
    began = time.monotonic()
    guest.cut_power()
    print(f"    up again after the power cut: {time.monotonic() - began:.1f} s", flush=True)


def story(guest, name, apps=3):
    began = time.monotonic()
    env = {"RENGA_BIN": "/usr/local/bin/renga", "RENGA_GUEST_APPS": str(apps)}
    said = guest.run(*INSIDE, name, env=env, seconds=STORY_SECONDS)
    figures = [line for line in said.splitlines() if line.startswith("figure: ")]
    print("\n".join([f"    {name}: {time.monotonic() - began:.1f} s", *figures]), flush=True)


def soak_real_tests_of_the_node_and_the_supervisor():
    """The very programs that ran on this machine, at the same paths: they know where their helpers are."""
    programs, carried = programs_of("renga-dyno", "renga-runtime"), helpers()
    files = {str(program): program for program in [*programs, *carried]}
    [supervisor] = [program for program in carried if program.name == "renga-dyno"]
    with Guest(files) as guest:
        for program in programs:
            began = time.monotonic()
            env = {"RUST_BACKTRACE": "0", "RENGA_TEST_SUPERVISOR": str(supervisor)}
            said = guest.run(program, "real_", *BEYOND_THE_GUEST, *TWO_AT_ONCE, seconds=STORY_SECONDS, env=env)
            [line] = [line for line in said.splitlines() if line.startswith("test result: ")]
            print(f"    {program.name}: {line} {time.monotonic() - began:.1f} s", flush=True)


def soak_a_hostile_app_gets_nowhere():
    """The end-to-end test of isolation, on control groups v2 and this kernel."""
    with Guest(installed_files()) as guest:
        said = guest.run("python3", "/opt/renga/tests/e2e", "isolation", env={"RENGA_BIN": "/usr/local/bin/renga"}, seconds=STORY_SECONDS)
        print(said, flush=True)


def cargo(*words):
    """What cargo says of what it has made: executables by (package, kind)."""
    said = subprocess.run(["cargo", *words, "--locked", "--message-format=json"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for line in said.splitlines():
        message = json.loads(line)
        if message.get("executable"):
            yield message["target"]["kind"], pathlib.Path(message["executable"])


def programs_of(*packages):
    words = [word for package in packages for word in ("-p", package)]
    return [program for kind, program in cargo("test", "--no-run", *words) if "test" in kind]


def helpers():
    return [program for kind, program in cargo("build", "--workspace", "--bins") if "bin" in kind and program.name != "renga"]
