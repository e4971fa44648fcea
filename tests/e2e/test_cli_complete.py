"""No command of the official CLI is forgotten: the installed version's own list against the table of what is tested."""

import cli_commands
from platform_under_test import Failed


def test_every_command_is_in_the_suite():
    there = cli_commands.commands(cli_commands.installed())
    assert len(there) > 100, f"the CLI's list is another one: {sorted(there)}"
    tested = {command for commands in cli_commands.TESTED.values() for command in commands.split()}
    wrong = [f"{command}: no test goes through it (tests/e2e/cli_commands.py)" for command in sorted(there.keys() - tested)]
    wrong += [f"{command}: the CLI has no such command" for command in sorted(tested - there.keys())]
    for module, commands in cli_commands.TESTED.items():
        said = cli_commands.words(module)
        wrong += [f"{command}: test_{module}.py does not name it" for command in commands.split() if not said & there.get(command, said)]
    if wrong:
        raise Failed("\n".join(wrong))
