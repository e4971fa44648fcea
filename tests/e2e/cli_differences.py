"""What another version of the official CLI does otherwise: its commands and flags by its own list, its words by transcripts of
the same tests.

    cli_differences.py PINNED_PACKAGE OTHER_PACKAGE PINNED.jsonl OTHER.jsonl

Ends with 1 if the tests of the pinned version went past a command of the suite's groups.
"""

import json
import pathlib
import re
import sys

import cli_commands

# What differs from run to run, and what it becomes.
CHANGING = (
    (r"[0-9a-f]{8}-[0-9a-f-]{27}", "UUID"),
    (r"HRKU-[\w-]+|[0-9a-f]{32,}|SHA256:\w+", "SECRET"),
    (r"\d{4}-\d\d-\d\d[T ][\d:.+Z-]*( UTC)?|\d{4}/\d\d/\d\d [\d:]+ \S+|~ \S+ ago|less than a minute", "TIME"),
    (r"/tmp/renga-e2e-\w+", "HOME"),
    (r"\b[a-z]+-[a-z]+-\d{3,}\b", "APP"),
    (r"dns-\w+|[0-9a-f]{7,40}\b", "HEX"),
    (r"\d+", "N"),
    (r"[ \u2500]+", " "),
)
LINES_SHOWN_MAX = 40


def main(pinned, other, pinned_said, other_said):
    manifests = [json.loads((package / "oclif.manifest.json").read_text()) for package in (pinned, other)]
    names = [manifest["version"] for manifest in manifests]
    print(f"figure: {names[0]} pinned, {names[1]} beside it")
    commands = [{id: command for id, command in manifest["commands"].items() if id.split(":")[0] in cli_commands.GROUPS} for manifest in manifests]
    for told, ids in (("gone", commands[0].keys() - commands[1].keys()), ("new", commands[1].keys() - commands[0].keys())):
        print(f"figure: {len(ids)} commands {told}" + "".join(f" {id}" for id in sorted(ids)))
    otherwise = [id for id in sorted(commands[0].keys() & commands[1].keys()) if faces(commands[0][id]) != faces(commands[1][id])]
    print(f"figure: {len(otherwise)} commands with other flags or arguments" + "".join(f" {id}" for id in otherwise))
    said = [words_of(path, cli_commands.commands(package)) for path, package in ((pinned_said, pinned), (other_said, other))]
    told = differences(*said)
    print(f"figure: {len({command for command, *_ in told})} of {len(said[0])} commands say something else")
    for command, sign, line in told[:LINES_SHOWN_MAX]:
        print(f"    {command}: {sign} {line}")
    missed = sorted(commands[0].keys() - said[0].keys())
    print(f"figure: {len(commands[0]) - len(missed)} of {len(commands[0])} commands of the groups were called" + "".join(f", not {id}" for id in missed))
    return 1 if missed else 0


def faces(command):
    """What scripts depend on."""
    return sorted((name, flag.get("char"), flag.get("type")) for name, flag in command["flags"].items()), sorted(command["args"])


def words_of(path, commands):
    """Command to the lines that it was ever heard to say."""
    ids = {name: id for id, names in commands.items() for name in names}
    said = {}
    for line in path.read_text().splitlines():
        call = json.loads(line)
        id = ids.get(call["words"][0]) if call["words"] else None
        if id:
            # A line that is written over again and again shows where the writer happened to be.
            lines = (plain(line) for line in call["text"].splitlines() if "..." not in line)
            said.setdefault(id, set()).update({*lines, f"exit code {call['code']}"})
    return said


def plain(line):
    for pattern, instead in CHANGING:
        line = re.sub(pattern, instead, line)
    return line.strip()


def differences(before, after):
    """(command, "-" or "+", line), where both versions were heard."""
    told = []
    for command in sorted(before.keys() & after.keys()):
        told += [(command, "-", line) for line in sorted(before[command] - after[command])]
        told += [(command, "+", line) for line in sorted(after[command] - before[command])]
    return told


if __name__ == "__main__":
    sys.exit(main(*map(pathlib.Path, sys.argv[1:])))
