"""One-off dynos and processes inside dynos, as people meet them: terminals that are cut, platforms that are killed."""

import os
import re
import signal
import socket
import ssl
import time

from app_under_test import App
from platform_under_test import HEROKU, RENGA, Platform, wait_for

APP = "runs"
GONE = r"Client connection closed\. Sending SIGHUP to all processes$"
R16 = r"Error R16 \(Detached\) -> An attached process is not responding to SIGHUP after its external connection was closed\.$"


def test_one_offs_and_processes_inside():
    with Platform() as platform:
        app = App(platform, APP)
        profile = app.repository / ".profile.d"
        profile.mkdir()
        (profile / "greeting.sh").write_text("export GREETING=good-day\n")
        app.deploy()
        stubborn = cut_off_with_the_server(platform)
        for check in (waits_for_releases, ends_in_time, a_cut_terminal_is_noticed, strangers_are_turned_away, runs_inside, sits_inside, says_where_else_to_go):
            begun = time.monotonic()
            check(platform, app)
            print(f"    {check.__name__}: {time.monotonic() - begun:.1f} s", flush=True)
        wait_for("R16", 30, lambda: said(platform, stubborn, R16), 0.5)
        assert len(said(platform, stubborn, GONE)) == 1
        assert platform.api("GET", f"/apps/{APP}/dynos/{stubborn}")[1]["state"] == "up"
        assert platform.api("POST", f"/apps/{APP}/dynos/{stubborn}/actions/stop", {})[0] == 202
        wait_for("its end", 20, lambda: said(platform, stubborn, r"State changed from up to complete$"), 0.2)
        assert len(said(platform, stubborn, R16)) == 1
        app.settle(web=1)


def said(platform, dyno, pattern, source="heroku"):
    status, session = platform.api("POST", f"/apps/{APP}/log-sessions", {"lines": 1500, "tail": False})
    assert status == 201, session
    text = platform.api("GET", "/" + session["logplex_url"].split("://", 1)[1].split("/", 1)[1], headers={"Authorization": None, "Accept": None})[1]
    return re.findall(rf"{source}\[{re.escape(dyno)}\]: {pattern}", text, re.M)


def attached(platform, script):
    """A terminal in which it runs, and the dyno's name."""
    terminal = platform.terminal(HEROKU, "run", "-a", APP, "--", script)
    seen = terminal.until(r"itruns", 60)
    return terminal, re.search(r"run\.\d+", seen).group(0)


def cut_off_with_the_server(platform):
    """kill -9 of the server: the clients see an end, what minds SIGHUP is gone, the rest goes on. Its name is returned."""
    minds, its_name = attached(platform, "echo it''runs; exec sleep 1000")
    stays, its_other_name = attached(platform, "trap '' HUP; echo it''runs; sleep 1000")
    os.kill(platform.role_pids()["server"], signal.SIGKILL)
    for terminal in (minds, stays):
        terminal.ends_somehow(20)
    wait_for("the server", 20, lambda: "server" in platform.role_pids())
    wait_for("the API", 20, lambda: answers(platform))
    wait_for("its end", 20, lambda: said(platform, its_name, r"Process exited with status 129$"), 0.2)
    wait_for("the client to be missed", 20, lambda: said(platform, its_other_name, GONE), 0.2)
    return its_other_name


def answers(platform):
    try:
        return platform.api("GET", "/account")[0] == 200
    except OSError:
        return False


def waits_for_releases(platform, app):
    assert app.configure(ROUND="1")[0] == 200
    # Not with --with-run: for the one-off dyno of the old release it would wait for ever.
    platform.heroku("ps:wait", "--type", "web", "-a", APP).ends()
    newest = platform.api("GET", f"/apps/{APP}/releases", headers={"Range": "version ..; max=1, order=desc"})[1][0]["version"]
    dynos = [dyno for dyno in platform.api("GET", f"/apps/{APP}/dynos")[1] if dyno["type"] == "web"]
    assert [(dyno["state"], dyno["release"]["version"]) for dyno in dynos] == [("up", newest)], dynos


def ends_in_time(platform, _):
    status, run = platform.api("POST", f"/apps/{APP}/dynos", {"command": "sleep 1000", "time_to_live": 1})
    assert status == 201, run
    wait_for("its end", 20, lambda: said(platform, run["name"], r"State changed from up to complete$"), 0.2)
    assert said(platform, run["name"], r"Stopping all processes with SIGTERM$")
    assert said(platform, run["name"], r"Process exited with status 143$")


def a_cut_terminal_is_noticed(platform, _):
    terminal, name = attached(platform, "echo it''runs; exec sleep 1000")
    terminal.kill()
    wait_for("its end", 20, lambda: said(platform, name, r"Process exited with status 129$"), 0.2)
    assert said(platform, name, GONE)
    assert not said(platform, name, R16)


def strangers_are_turned_away(platform, _):
    """Clients that know no secret, stop half-way, send nonsense or come twice; and windows that nobody has."""
    env = {"COLUMNS": 0, "LINES": 65535}
    status, run = platform.api("POST", f"/apps/{APP}/dynos", {"command": "stty size; cat", "attach": True, "env": env})
    assert status == 201, run
    address, _, secret = run["attach_url"].partition("://")[2].partition("/")
    silent = [meets(platform, address, b""), meets(platform, address, secret[:9].encode())]
    for line in (b"wrong\r\n", b"\0" * 600 + b"\n", secret.encode() + b"/nowhere\r\n", b"\xff\xfe\r\n"):
        assert listen(meets(platform, address, line)) == b"", line
    client = meets(platform, address, f"{secret}\r\n".encode())
    assert listen(client, b"24 80\r\n").startswith(b"rendezvous\r\n")
    assert listen(meets(platform, address, f"{secret}\r\n".encode())) == b"", "a second client"
    window = meets(platform, address, f"{secret}/window\r\n0 65535\n".encode())
    assert listen(window) == b"window\r\n", "a window of nonsense is the end of the window's connection alone"
    client.sendall(b"still here\n")
    listen(client, b"still here\r\n")
    # Without a word: the kernel sends a reset.
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    socket.socket.close(client)
    wait_for("its end", 20, lambda: said(platform, run["name"], r"Process exited with status 129$"), 0.2)
    assert len(said(platform, run["name"], GONE)) == 1
    for connection in silent:
        connection.close()


def meets(platform, address, line):
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context(cafile=platform.endpoints["ca"])
    raw = socket.create_connection((host, int(port)), timeout=20)
    client = context.wrap_socket(raw, server_hostname=host)
    client.sendall(line)
    return client


def listen(client, until=None):
    """To the end, or until these bytes."""
    heard = b""
    while until is None or until not in heard:
        try:
            chunk = client.recv(4096)
        except (ConnectionError, ssl.SSLError):
            chunk = b""
        if not chunk:
            assert until is None, f"the end came after {heard}"
            return heard
        heard += chunk
    return heard


def runs_inside(platform, _):
    exec_ = [RENGA, "ps:exec", "-a", APP, "--data-dir", platform.data]
    inside = platform.run(*exec_, "--", "echo $DYNO $GREETING; id -u; pwd; grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status; exit 5")
    inside.ends(5).says(r"^web\.1 good-day$", "^1000$", "^/app$", r"CapEff:\s+0000000000000000", r"NoNewPrivs:\s+1", r"Seccomp:\s+2")
    # It is the same dyno: its server answers on its loopback, and its processes are there.
    look = "exec 3<>/dev/tcp/127.0.0.1/$PORT; printf 'GET /version.txt HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3; ps -e -o args"
    platform.heroku("run:inside", "web.1", "-x", "-a", APP, "--", look).ends(0).says("^deploy 1", "python3 bin/server.py")
    platform.run(*exec_, "--no-tty", "cat", stdin="from here\n").ends(0).says("^from here")
    platform.run(*exec_, "-d", "web.7", "true").ends(2).says("Couldn't find that dyno")
    by_whom = r"Starting process with command `.*echo \$DYNO.*` inside the running dyno by user admin@localhost$"
    assert said(platform, "web.1", by_whom)
    assert said(platform, "web.1", r"Process inside the running dyno exited with status 0$")


def sits_inside(platform, app):
    """A shell ends with its terminal, and with the dyno."""
    terminal = platform.terminal(RENGA, "ps:exec", "-a", APP, "--data-dir", platform.data)
    terminal.until(r"~ .*\$ ", 60)
    terminal.type("tty; sleep 4711 & echo is''there\r")
    terminal.until(r"/dev/pts/\d+")
    terminal.until("isthere")
    terminal.kill()
    count = ["run:inside", "web.1", "-a", APP, "--", "ps -e -o args | grep -c '[s]leep 4711'; true"]
    wait_for("the shell to end", 30, lambda: re.search(r"^0$", platform.heroku(*count).ends().text, re.M), 0.2)
    assert said(platform, "web.1", "Client of the process inside the running dyno has gone")

    terminal = platform.terminal(RENGA, "ps:exec", "-a", APP, "--data-dir", platform.data)
    terminal.until(r"~ .*\$ ", 60)
    begun = time.monotonic()
    platform.heroku("ps:restart", "-d", "web.1", "-a", APP).ends()
    terminal.ends_somehow(30)
    app.settle(web=1)
    assert time.monotonic() - begun < 25, "the shell held the dyno up"


def says_where_else_to_go(platform, _):
    platform.heroku("ps:exec", "-a", APP).says("run:inside web.1 bash", "renga ps:exec")
