"""What a dyno takes, told in its app's log: R14, and the figures of log-runtime-metrics."""

import datetime
import re

from platform_under_test import Platform, wait_for

APP = "greedy"


def soak_memory_and_load_are_told():
    with Platform() as platform:
        repository = platform.repository("misbehave")
        platform.heroku("create", APP, cwd=repository).ends()
        platform.heroku("config:set", "MEMORY_MB=530", "-a", APP).ends()
        platform.git("push", platform.git_url(APP), "HEAD:refs/heads/main", cwd=repository).ends()
        platform.heroku("ps:scale", "web=1", "memory=1", "-a", APP).ends()

        over = wait_for("three times R14", 90, lambda: at_least(3, told(platform, "memory.1", r"Error R14 \(Memory quota exceeded\)$")), 1)
        pauses = [(later - earlier).total_seconds() for earlier, later in zip(over, over[1:])]
        assert all(18 < pause < 25 for pause in pauses), pauses
        assert told(platform, "memory.1", r"Process running mem=5[34]\dM\(10[3-6]\.\d%\)$") == over, log(platform)
        assert not told(platform, "web.1", "R14")
        assert "sample#" not in log(platform)

        platform.heroku("labs", "-a", APP).ends().says(r"log-runtime-metrics")
        platform.heroku("labs:enable", "log-runtime-metrics", "-a", APP).ends()
        platform.heroku("ps:scale", "memory=0", "-a", APP).ends()
        platform.heroku("ps:restart", "-a", APP).ends()
        dyno = r"source=web\.1 dyno=heroku\.[0-9a-f-]{36}\.[0-9a-f-]{36}"
        load = rf"{dyno} sample#load_avg_1m=\d+\.\d\d sample#load_avg_5m=\d+\.\d\d sample#load_avg_15m=\d+\.\d\d$"
        # Without the pages where version 2 of control groups does not count them.
        memory = (
            rf"{dyno} sample#memory_total=\d+\.\d\dMB sample#memory_rss=\d+\.\d\dMB sample#memory_cache=\d+\.\d\dMB"
            r" sample#memory_swap=\d+\.\d\dMB( sample#memory_pgpgin=\d+pages sample#memory_pgpgout=\d+pages)?"
            r" sample#memory_quota=512\.00MB$"
        )
        for line in (load, memory):
            wait_for("figures", 60, lambda: told(platform, "web.1", line), 1)


def at_least(count, times):
    return times if len(times) >= count else None


def log(platform):
    return platform.heroku("logs", "-n", "1500", "--source", "heroku", "-a", APP).ends().out


def told(platform, dyno, pattern):
    """When a dyno's log said so, to the second."""
    lines = re.findall(rf"^(\S+)\.\d+\+00:00 heroku\[{re.escape(dyno)}\]: {pattern}", log(platform), re.M)
    return [datetime.datetime.fromisoformat(line if isinstance(line, str) else line[0]) for line in lines]
