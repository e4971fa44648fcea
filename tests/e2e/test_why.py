"""The platform tells why dynos are as they are."""

import json
import re

from app_under_test import App, answers, kill
from platform_under_test import RENGA, Platform, wait_for


def test_decisions_can_be_asked_for():
    with Platform() as platform:
        app = App(platform, "asked")
        with open(app.repository / "Procfile", "a") as procfile:
            procfile.write("failing: exit 3\n")
        app.deploy()
        app.scale(failing=1)
        because = "It crashed 2 times in a row, so there is a pause before the next start"
        wait_for("the pause after the second crash", 30, lambda: because in why(platform, "failing.1", "-a", "asked").out)

        told = why(platform, "asked")
        told.says(r"⬢ asked runs v\d", r"^web\.1: wanted, up v\d since", "It runs the current release")
        told.says(r"^failing\.1: wanted, crashed v\d since", r"status 3\. .*pause is over\. \(at .*, in \d+m\)$")
        told.says(r"web\.1 +start +the formation asks for it", r"failing\.1 +ended +Its process ended with status 3\.")
        told.says(r"failing\.1 +start +it crashed", r"failing\.1 +wait +it is not started again before 20")
        facts = json.loads(why(platform, "web.1", "-a", "asked", "--json").out)
        assert [dyno["name"] for dyno in facts["dynos"]] == ["web.1"] and facts["dynos"][0]["seen"]["state"] == "up", facts
        assert platform.run(RENGA, "why", "web.7", "-a", "asked").ends(2).says("dyno")

        assert re.search(r"^web\.1: up .*, \d+ of 512 MiB, \d+% of a processor$", platform.run(RENGA, "ps", "-a", "asked").out, re.M)
        [web] = [dyno for dyno in json.loads(platform.run(RENGA, "ps", "-a", "asked", "--json").out) if dyno["name"] == "web.1"]
        assert web["usage"]["memory_quota_bytes"] == 512 << 20 and web["usage"]["memory_bytes"] > 1 << 20, web

        # What comes from rows is known to the next server as well; what was decided before, it says that it is not.
        kill(platform, "server")
        answers(platform)
        after = why(platform, "failing.1", "-a", "asked").says(because)
        after.says("Decisions are remembered since the platform's last start")
        assert "  ended  " not in after.out, after.out


def why(platform, *words):
    return platform.run(RENGA, "why", *words).ends(0)
