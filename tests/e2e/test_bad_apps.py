"""Apps that do what apps do: each is told what is wrong, ends when it is told to, and hurts nobody."""

import re
import time

from platform_under_test import RENGA, Platform, wait_for

APP = "odd"
WEB = """
import os, socket, subprocess, sys, time
way = os.environ["WAY"]
if way == "daemon":
    # The process that was started ends, what it left behind serves on: for the dyno that is an end.
    subprocess.Popen([sys.executable, "-m", "http.server", "--bind", "::", os.environ["PORT"]], start_new_session=True)
    sys.exit(0)
host, port = {"loopback": ("127.0.0.1", int(os.environ["PORT"])), "port": ("0.0.0.0", 3000)}[way]
server = socket.create_server((host, port))
print("waiting for nobody", flush=True)
time.sleep(1000)
"""
TYPES = {
    "zero": "exit 0",
    "stubborn": "trap 'echo not me' TERM; echo ready; while :; do sleep 0.1; done",
    "closed": "exec >&- 2>&-; sleep 1000",
    "half": "printf 'half a line'; sleep 2; printf ' and its end\\n'; printf 'no newline'; sleep 1000",
    "binary": "head -c 3000 /dev/urandom; echo; echo after the noise; sleep 1000",
    "long": "head -c 10000000 /dev/zero | tr '\\0' x; echo; echo after the long line; sleep 1000",
    "quotes": """echo "it's" 'a "quote"' `echo back` $((1+1)) \\\\ ; sleep 1000""",
}


def soak_apps_of_every_kind():
    with Platform() as platform:
        repository = platform.repository("misbehave", APP)
        lines = [f"{name}: {command}" for name, command in TYPES.items()]
        (repository / "Procfile").write_text("\n".join(["web: python3 web.py", *lines, ""]))
        (repository / "web.py").write_text(WEB)
        platform.commit(repository, "Odd")
        platform.heroku("create", APP, cwd=repository).ends()
        platform.heroku("config:set", "WAY=loopback", "BINARY=\x01\x7f ü\n\t", "-a", APP).ends()
        platform.git("push", platform.git_url(APP), "HEAD:refs/heads/main", cwd=repository, timeout=200)
        pids = platform.role_pids()
        for check in (
            say_what_is_wrong_with_the_port,
            types_do_as_they_do,
            a_daemon_is_an_end,
            one_offs_take_any_command,
            processes_inside_take_any_command,
        ):
            begun = time.monotonic()
            check(platform)
            assert platform.role_pids() == pids, platform.operator_log()[-3000:]
            print(f"    {check.__name__}: {time.monotonic() - begun:.1f} s", flush=True)


def say_what_is_wrong_with_the_port(platform):
    loopback = r"The web process listens on 127\.0\.0\.1:5000 only, where nothing outside the dyno reaches it"
    wait_for("the hint", 90, lambda: said(platform, "heroku[web.1]", loopback), 1)
    assert said(platform, "heroku[web.1]", r"Error R10 \(Boot timeout\)")
    platform.heroku("config:set", "WAY=port", "-a", APP).ends()
    other = r"The web process listens on 0\.0\.0\.0:3000\. It must listen on the port that \$PORT gives, which is 5000"
    wait_for("the hint", 90, lambda: said(platform, "heroku[web.1]", other), 1)


def types_do_as_they_do(platform):
    platform.heroku("ps:scale", "web=0", *(f"{name}=1" for name in TYPES), "-a", APP).ends()
    for dyno, line in (
        ("heroku[zero.1]", r"Process exited with status 0$"),
        ("heroku[zero.1]", r"State changed from (up|starting) to crashed$"),
        ("app[half.1]", r"half a line and its end$"),
        ("app[binary.1]", r"after the noise$"),
        ("app[quotes.1]", r"""it's a "quote" back 2 \\$"""),
        ("app[stubborn.1]", r"ready$"),
    ):
        wait_for(line, 40, lambda: said(platform, dyno, line), 0.5)
    # Last: it pushes the rest out of the log.
    wait_for("the long line", 40, lambda: said(platform, "app[long.1]", r"after the long line$"), 0.5)
    platform.heroku("ps:scale", *(f"{name}=0" for name in TYPES), "-a", APP).ends()
    wait_for("R12", 60, lambda: said(platform, "heroku[stubborn.1]", r"Error R12 \(Exit timeout\)"), 1)
    assert said(platform, "app[stubborn.1]", "not me$")
    wait_for("nobody is left", 20, lambda: platform.api("GET", f"/apps/{APP}/dynos")[1] == [], 0.5)


def a_daemon_is_an_end(platform):
    platform.heroku("config:set", "WAY=daemon", "-a", APP).ends()
    platform.heroku("ps:scale", "web=1", "-a", APP).ends()
    wait_for("the end", 40, lambda: said(platform, "heroku[web.1]", r"Process exited with status 0$"), 0.5)
    platform.heroku("ps:scale", "web=0", "-a", APP).ends()


def one_offs_take_any_command(platform):
    for command, out in (
        ("printf '%s|' \"a b\" 'c\"d' $'e\\nf'", "a b|c\"d|e\nf|"),
        ("echo one\necho two", "one\ntwo"),
        ("printf %s \"$BINARY\" | od -An -tx1", "01 7f 20 c3 bc"),
        ("echo $PORT; echo '" + "x" * 60_000 + "' | wc -c", "60001"),
    ):
        platform.heroku("run", "--no-tty", "-a", APP, "--", command).says(re.escape(out))
    for body, status in (
        ({"command": "x" * 100_000}, 422),
        ({"command": "echo \0"}, 422),
        ({"command": "true", "env": {"A": "\0"}}, 422),
        ({"command": "true", "env": {"COLUMNS": 0, "LINES": 65535}}, 201),
        ({"command": "true", "env": {"COLUMNS": "-1", "LINES": "99999999999"}}, 201),
        ({"command": "true", "attach": True}, 201),
    ):
        answered, text = platform.api("POST", f"/apps/{APP}/dynos", body)
        assert answered == status, f"{str(body)[:60]}: {answered} {text}"
    # The last one waits for a client that never comes.
    wait_for("R13", 60, lambda: said(platform, r"heroku[run.", r"Error R13 \(Attach error\)", exact=False), 1)


def processes_inside_take_any_command(platform):
    """In a dyno that closed its own output, with the same environment."""
    platform.heroku("ps:scale", "closed=1", "-a", APP).ends()
    wait_for("the dyno", 30, lambda: [d["state"] for d in platform.api("GET", f"/apps/{APP}/dynos")[1] if d["type"] == "closed"] == ["up"], 0.2)
    inside = [RENGA, "ps:exec", "--data-dir", platform.data, "-a", APP, "-d", "closed.1", "--no-tty", "--"]
    for command, code, out in (
        ("printf '%s|' \"a b\" 'c\"d' $'e\\nf'; exit 3", 3, "a b|c\"d|e\nf|"),
        ("echo one # a comment\necho two", 0, "one\ntwo"),
        ("printf %s \"$BINARY\" | od -An -tx1", 0, "01 7f 20 c3 bc"),
        ("head -c 10000000 /dev/zero | tr '\\0' x | wc -c", 0, "10000000"),
        ("exec no-such-program", 127, "not found"),
        ("kill -9 $BASHPID", 137, ""),
    ):
        platform.run(*inside, command).ends(code).says(re.escape(out))
    for body, status in (
        ({"command": "x" * 100_000}, 422),
        ({"command": ""}, 422),
        ({"command": "true\0"}, 422),
        ({"command": "true", "env": {"A B": "1"}}, 422),
        ({"command": "true", "env": {"COLUMNS": 0, "LINES": 65535}}, 201),
        ({"command": ["true"]}, 422),
    ):
        answered, text = platform.api("POST", f"/apps/{APP}/dynos/closed.1", body)
        assert answered == status, f"{str(body)[:60]}: {answered} {text}"
    platform.heroku("ps:scale", "closed=0", "-a", APP).ends()


def said(platform, source, pattern, exact=True):
    lines = platform.heroku("logs", "-n", "1500", "-a", APP).ends().out
    end = "" if exact else r"\d+\]"
    return re.findall(rf"^\S+ {re.escape(source)}{end}: {pattern}", lines, re.M)
