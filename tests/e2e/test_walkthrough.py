"""The getting-started walkthrough with the unmodified official CLI, in the order that Heroku's own guide has it."""

import os
import re
import signal
import socket
import subprocess
import time
import urllib.request

from platform_under_test import HEROKU, Failed, Platform, wait_for, write_down


def test_getting_started():
    with Platform() as platform:
        repository = platform.repository("django")
        app = login_and_create(platform, repository)
        deploy_master(platform, repository, app)
        scale_open_and_look(platform, app)
        tail_while_the_page_is_loaded(platform, app)
        add_a_dependency(platform, repository, app)
        run_locally(platform, repository)
        one_off_dynos(platform, app)
        config_and_releases(platform, app)
        domains_and_maintenance(platform, app)
        destroy(platform, app)
        stop_leaves_in_time(platform)


def login_and_create(platform, repository):
    password = (platform.data / "secrets/admin-password").read_text()
    terminal = platform.terminal(HEROKU, "login", "-i", token=False)
    terminal.until("Email")
    terminal.type("admin@localhost\r")
    terminal.until("Password")
    terminal.type(f"{password}\r")
    terminal.until("Logged in as")
    terminal.ends(0)
    platform.heroku("whoami", token=False).ends().says("admin@localhost")

    created = platform.heroku("create", cwd=repository).ends()
    app = re.search(r"https://([a-z0-9-]+)\.localhost", created.text).group(1)
    created.says(r"Creating app\.\.\. done", rf"https://{app}\.localhost:\d+/ \| https://localhost:\d+/{app}\.git")
    platform.git("remote", cwd=repository).ends().says("^heroku$")
    status, _ = platform.get(app)
    assert status in (502, 503), f"a blank app answered {status}"
    return app


def deploy_master(platform, repository, app):
    pushed = platform.git("push", "heroku", "main:master", cwd=repository).ends()
    pushed.says(
        r"remote: Compressing source files\.\.\. done\.",
        r"remote: Building source:",
        r"remote: -----> Building on the Heroku-24 stack",
        r"remote: -----> Determining which buildpack to use for this app",
        r"remote: -----> Python app detected",
        r"remote: -----> Using Python 3\.13 specified in \.python-version",
        r"remote: -----> Installing dependencies using 'pip install -r requirements\.txt'",
        r"remote: -----> \$ python manage\.py collectstatic --noinput",
        r"remote: -----> Discovering process types",
        r"remote:        Procfile declares types +-> web",
        r"remote: -----> Compressing\.\.\.",
        r"remote:        Done: [0-9.]+[KM]",
        r"remote: -----> Launching\.\.\.",
        r"remote:        Released v3",
        r"remote: Verifying deploy\.\.\. done\.",
        r"\[new branch\] +main -> master",
    )
    status, page = platform.get(app)
    assert status == 200, f"the page answered {status}:\n{page}"
    # main deploys as well, and what was pushed comes back.
    platform.git("push", "heroku", "main", cwd=repository).ends().says(r"remote:        Released v4")
    clone = platform.home / "clone"
    platform.git("clone", "-q", "-b", "main", f"https://localhost:{git_port(platform)}/{app}.git", clone).ends()
    head = platform.git("rev-parse", "HEAD", cwd=repository).out
    assert platform.git("rev-parse", "HEAD", cwd=clone).out == head
    refused = platform.git("push", "heroku", "main:feature", cwd=repository)
    refused.ends(1).says("non-main|master branch", r"\[remote rejected\]")


def git_port(platform):
    return platform.endpoints["api_tls"].rsplit(":", 1)[1]


def scale_open_and_look(platform, app):
    platform.heroku("ps:scale", "web=1", "-a", app).ends().says(r"done, now running web at 1:Basic")
    platform.heroku("ps", "-a", app).ends().says(r"=== web \(Basic\): gunicorn getting_started\.wsgi \(1\)", r"web\.1: up \d{4}/")
    status, page = platform.get(app, tls=True)
    assert status == 200 and "<html" in page.lower(), f"{status}:\n{page}"
    style = re.search(r'href="([^"]*style[^"]*\.css)"', page)
    assert style, f"no style sheet in\n{page}"
    status, css = platform.get(app, style.group(1), tls=True)
    assert status == 200 and css, f"static files answered {status}"


def tail_while_the_page_is_loaded(platform, app):
    tail = platform.terminal(HEROKU, "logs", "--tail", "-a", app)
    tail.until(r"State changed from starting to up", 30)
    platform.get(app, "/?tailed=1")
    tail.until(r"heroku\[router\].*path=.*/\?tailed=1", 10)
    tail.kill()
    shown = platform.heroku("logs", "-n", "1000", "-a", app).ends()
    shown.says(
        r"app\[api\]: Release v3 created by user admin@localhost",
        r"heroku\[web\.1\]: Starting process with command",
        r"app\[web\.1\]: .*gunicorn",
        r"heroku\[router\]: at=info method=GET path=\"/\?tailed=1\" host=\S+ request_id=\S+ fwd=\"127\.0\.0\.1\" dyno=web\.1 "
        r"connect=\d+ms service=\d+ms status=200 bytes=\d+ protocol=http1\.1 tls=false",
    )
    only = platform.heroku("logs", "--source", "heroku", "--dyno-name", "router", "-a", app).ends()
    if re.search(r"app\[|heroku\[web", only.out):
        raise Failed(f"the filter let through:\n{only.out}")


def add_a_dependency(platform, repository, app):
    requirements = repository / "requirements.txt"
    requirements.write_text(requirements.read_text() + "cowsay==6.1\n")
    platform.commit(repository, "Add cowsay")
    platform.git("push", "heroku", "main", cwd=repository).ends().says(
        "Discarding cache since:", "The contents of requirements.txt changed", "cowsay", r"Released v5", r"Verifying deploy\.\.\. done"
    )
    (repository / "note.txt").write_text("only the source changed\n")
    platform.commit(repository, "A note")
    platform.git("push", "heroku", "main", cwd=repository).ends().says("Restoring cache|Using cached", r"Released v6")
    platform.heroku("ps:scale", "web=2", "-a", app).ends().says("web at 2:Basic")
    wait_for("two web dynos", 30, lambda: len(re.findall(r"web\.\d: up", platform.heroku("ps", "-a", app).out)) == 2)
    platform.heroku("ps:scale", "web=1", "-a", app).ends().says("web at 1:Basic")
    wait_for("one web dyno", 40, lambda: len(re.findall(r"web\.\d", platform.heroku("ps", "-a", app).out)) == 1)


def run_locally(platform, repository):
    """`heroku local web` runs the Procfile here; the project's own Python is not needed to see that it starts."""
    local = platform.home / "local"
    local.mkdir()
    (local / "Procfile").write_text("web: python3 -m http.server $PORT\n")
    for program in (HEROKU, "renga"):
        port = free_port()
        process = subprocess.Popen([program, "local", "web", "--port", str(port)], cwd=local, env=platform.env(), stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            write_down([str(program), "local", "web"], None, "")
            wait_for(f"{program} local on port {port}", 30, lambda: answers(port))
        finally:
            # As a terminal does it: Ctrl-C reaches the whole foreground.
            os.killpg(process.pid, signal.SIGINT)
            process.wait(15)
        wait_for("the local server to end", 10, lambda: not answers(port))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port):
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1).status == 200
    except OSError:
        return False


def one_off_dynos(platform, app):
    run = ["run", "-a", app, "--"]
    platform.heroku(*run, "python", "manage.py", "shell", "-c", "print(6 * 7)").ends().says("^42$", r"Running .* on (⬢ )?")
    platform.heroku("run", "-x", "-a", app, "--", "sh -c 'exit 7'").ends(7)
    platform.heroku("run", "--no-tty", "-a", app, "--", "cat", stdin="from here\n").ends().says("from here")
    detached = platform.heroku("run:detached", "-a", app, "--", "echo far away").ends()
    name = re.search(r"run\.\d+", detached.text).group(0)
    wait_for("the detached output", 20, lambda: "far away" in platform.heroku("logs", "--dyno-name", name, "-a", app).out)

    terminal = platform.terminal(HEROKU, "run", "bash", "-a", app)
    terminal.until(r"~ .*\$ ", 60)
    terminal.type("echo $((20+3)) $DYNO; id -u; pwd\r")
    terminal.until(r"23 run\.\d+\s+1000\s+/app")
    terminal.type("sleep 100\r")
    time.sleep(0.5)
    terminal.type("\x03")
    terminal.until(r"\$ ")
    terminal.type("exit\r")
    terminal.ends(0)


def config_and_releases(platform, app):
    platform.heroku("config:set", "TIMES=3", "-a", app).ends().says(r"Setting TIMES and restarting (⬢ )?.*\.\.\. done, v7", r"TIMES: +3")
    wait_for("TIMES=3 in the page", 30, lambda: platform.get(app)[1].count("Hello") >= 3)
    platform.heroku("config", "-a", app).ends().says(r"=== .* Config Vars", r"TIMES: +3")
    platform.heroku("config:get", "TIMES", "-a", app).ends().says("^3$")
    platform.heroku("info", "-a", app).ends().says(rf"=== {app}", r"Owner: +admin@localhost", r"Stack: +heroku-24")
    platform.heroku("releases", "-a", app).ends().says(r"v7 +Set TIMES config vars +admin@localhost", r"v3 +Deploy [0-9a-f]{8}", r"v1 +Initial release")
    platform.heroku("rollback", "-a", app).ends().says(r"Rolling back (⬢ )?.* to v6\.\.\. done, v8")
    wait_for("the page before TIMES", 30, lambda: platform.get(app)[1].count("Hello") < 3)
    platform.heroku("config", "-a", app).ends()
    platform.heroku("config:set", "PORT=1", "-a", app).ends(2)
    platform.heroku("config:unset", "TIMES", "-a", app)


def domains_and_maintenance(platform, app):
    platform.heroku("domains", "-a", app).ends().says(rf"{app}\.localhost")
    platform.heroku("maintenance:on", "-a", app).ends().says("Enabling maintenance mode for (⬢ )?.* done")
    wait_for("the maintenance page", 10, lambda: platform.get(app)[0] == 503)
    platform.heroku("maintenance:off", "-a", app).ends()
    wait_for("the page again", 10, lambda: platform.get(app)[0] == 200)
    platform.heroku("ps:restart", "-a", app).ends()
    assert platform.get(app)[0] == 200
    platform.heroku("info", "-a", "no-such-app").ends(2).says("Couldn't find that app", "not_found")


def destroy(platform, app):
    platform.heroku("apps:destroy", "-a", app, "--confirm", app).ends().says(rf"Destroying (⬢ )?{app}.* done")
    wait_for("its page to go", 20, lambda: platform.get(app)[0] == 404)
    wait_for("its dynos to go", 60, lambda: not list((platform.data / "node/dynos").iterdir()))
    wait_for("its repository to go", 20, lambda: not list((platform.data / "git").glob("*.git")))


def stop_leaves_in_time(platform):
    started = time.monotonic()
    assert platform.stop() == 0, platform.operator_log()
    assert time.monotonic() - started < 30
