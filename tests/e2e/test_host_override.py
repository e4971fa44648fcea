"""Heroku's own names, led here by a hosts file (docs/host-override.md), with the unmodified official CLI: from the browser
login to the last command of the groups that no other test goes through.
"""

import pathlib
import re
import urllib.parse

from herokus_names import Override
from platform_under_test import HEROKU, wait_for

APP, SECOND = "overridden", "overridden-too"
TEAM = "weavers"


def test_the_whole_command_line_under_herokus_names():
    with Override() as here:
        port_443_is_all_that_the_server_may(here)
        log_in_with_a_browser(here)
        create_push_and_clone(here)
        logs_and_one_offs(here)
        config_is_edited(here)
        releases_are_retried(here)
        buildpacks(here)
        apps_are_compared_and_opened(here)
        favorites(here)
        what_is_elsewhere_is_refused(here)
        commands_of_this_machine(here)
        log_out(here)


def port_443_is_all_that_the_server_may(here):
    status = pathlib.Path(f"/proc/{here.platform.role_pids()['server']}/status").read_text()
    held = dict(re.findall(r"^(Cap\w+|Uid):\s+(\w+)", status, re.M))
    # CAP_NET_BIND_SERVICE is bit 10.
    assert held["Uid"] != "0" and {int(held[name], 16) for name in ("CapPrm", "CapEff", "CapAmb")} == {1 << 10}, held


# === who ===


def log_in_with_a_browser(here):
    password = (here.platform.data / "secrets/admin-password").read_text()
    terminal = here.terminal(HEROKU, "login")
    terminal.until("Press any key")
    terminal.type("y")
    # A browser trusts the CA, and resolves the name as everything here does.
    page = re.search(r"https://cli-auth\.heroku\.com/auth/browser/\w+", terminal.until(r"https://cli-auth\S+[0-9a-f]{64}", 30)).group(0)
    form = urllib.parse.urlencode({"email": "admin@localhost", "password": password})
    curl = ["curl", "-sS", "--cacert", here.platform.endpoints["ca"], "--data", form]
    here.run(*curl, page).ends().says("Logged in")
    terminal.until("Logged in as admin@localhost")
    terminal.ends()
    netrc = (here.platform.user_home / ".netrc").read_text()
    assert "machine api.heroku.com" in netrc and "machine git.heroku.com" in netrc, netrc
    who, shown, gone = here.side_by_side(["whoami"], ["auth:token"], ["auth:2fa:disable"])
    who.ends().says("admin@localhost")
    here.token = shown.ends().says("token will expire").out.strip()
    assert here.token in netrc
    gone.ends(2).says("has been removed")


def log_out(here):
    here.heroku("logout").ends()
    assert here.api("GET", "/account", None, {"Authorization": f"Bearer {here.token}"})[0] == 401
    assert "api.heroku.com" not in (here.platform.user_home / ".netrc").read_text()


# === an app ===


def create_push_and_clone(here):
    repository = here.platform.repository("procfile")
    (repository / "Procfile").write_text("web: bin/serve\nrelease: echo mi''grated\n")
    here.platform.commit(repository, "A release command")
    here.repository = repository
    here.heroku("create", APP, cwd=repository).ends().says(rf"https://git\.heroku\.com/{APP}\.git")
    pushed = here.run("git", "push", "heroku", "main", cwd=repository).ends()
    pushed.says(r"Verifying deploy\.\.\. done", "migrated", rf"https://git\.heroku\.com/{APP}\.git")
    wait_for("the page", 30, lambda: here.platform.get(APP)[0] == 200)

    here.heroku("git:clone", "-a", APP, "cloned").ends().says("Cloning into 'cloned'")
    clone = here.platform.home / "cloned"
    assert (clone / "Procfile").read_text() == (repository / "Procfile").read_text()
    here.run("git", "remote", "-v", cwd=clone).ends().says(rf"^heroku\s+https://git\.heroku\.com/{APP}\.git")
    here.heroku("git:remote", "-a", APP, "-r", "production", cwd=clone).ends().says(rf"set git remote production to .*/{APP}\.git")
    asked = here.heroku("git:credentials", "get", stdin="protocol=https\nhost=git.heroku.com\n\n").ends()
    assert "password=" in asked.out and "username=heroku" in asked.out, asked.out


def logs_and_one_offs(here):
    log, run, status = here.side_by_side(
        ["logs", "-n", "500", "-a", APP],
        ["run", "--no-tty", "-x", "-a", APP, "--", "echo fr''om here; (exit 4)"],
        ["status"],
    )
    log.ends().says(r"app\[api\]: Deploy \w+ by user admin@localhost", r"heroku\[web\.1\]: State changed")
    run.ends(4).says("^from here$")
    status.ends().says(r"Apps: +No known issues at this time", r"Data: +No known issues", r"Tools: +No known issues")


def config_is_edited(here):
    here.api("PATCH", f"/apps/{APP}/config-vars", {"KEPT": "as it was", "GONE": "soon", "CHANGED": "1"})
    editor = here.script("editor", "sed -i -e /^GONE=/d -e 's/^CHANGED=.*/CHANGED=two/' \"$1\"; printf '\\nFRESH=\"a b\"' >>\"$1\"")
    terminal = here.terminal(HEROKU, "config:edit", "-a", APP, env={"EDITOR": str(editor)})
    shown = terminal.until(r"Update config on .*with these values\?", 30)
    assert "- GONE=soon" in shown and "KEPT" not in shown, shown
    terminal.type("y\r")
    terminal.ends()
    config = here.api("GET", f"/apps/{APP}/config-vars")[1]
    assert config == {"KEPT": "as it was", "CHANGED": "two", "FRESH": "a b"}, config


def releases_are_retried(here):
    retried = here.heroku("releases:retry", "-a", APP).ends().says(r"Retrying v\d+ on .*done, v\d+", "Running release command", "^migrated")
    version = int(re.search(r"done, v(\d+)", retried.text).group(1))
    newest = wait_for("the new release", 20, lambda: (release := here.api("GET", f"/apps/{APP}/releases/{version}")[1])["current"] and release)
    assert newest["description"].startswith(f"Retry of v{version - 1}"), newest


def buildpacks(here):
    search, info, versions, added = here.side_by_side(
        ["buildpacks:search", "python"],
        ["buildpacks:info", "heroku/python"],
        ["buildpacks:versions", "heroku/python"],
        ["buildpacks:add", "heroku/python", "-a", APP],
    )
    search.ends().says(r"heroku/python")
    info.ends().says("heroku/python", "built into this platform")
    versions.ends().says("published")
    added.ends().says("Buildpack added")
    here.api("PUT", f"/apps/{APP}/buildpack-installations", {"updates": [{"buildpack": name} for name in ("heroku/python", "heroku/nodejs")]})
    here.heroku("buildpacks", "-a", APP).ends().says(r"1\. heroku/python", r"2\. heroku/nodejs")
    here.heroku("buildpacks:remove", "heroku/python", "-a", APP).ends().says("Buildpack removed")
    assert [one["buildpack"]["name"] for one in here.api("GET", f"/apps/{APP}/buildpack-installations")[1]] == ["heroku/nodejs"]
    here.heroku("buildpacks:clear", "-a", APP).ends().says("Buildpacks? cleared")
    assert here.api("GET", f"/apps/{APP}/buildpack-installations")[1] == []


def apps_are_compared_and_opened(here):
    assert here.api("POST", "/apps", {"name": SECOND})[0] == 201
    here.api("PATCH", f"/apps/{SECOND}/config-vars", {"KEPT": "otherwise"})
    assert here.api("POST", "/teams", {"name": TEAM})[0] == 201
    compared, opened, of_team = here.side_by_side(["apps:diff", APP, SECOND], ["apps:open", "page", "-a", APP], ["orgs:open", "--team", TEAM])
    compared.ends().says(r"as it was +config \(KEPT\) +otherwise", r"SHA256:\w+\.\.\. +slug \(checksum\)")
    opened.ends().says(rf"Opening https://{APP}\.localhost:\d+/page")
    here.browser_opens(rf"^https://{APP}\.localhost:\d+/page$")
    of_team.ends().says(rf"Opening .*/teams/{TEAM}")


# === fixed names ===


def favorites(here):
    here.heroku("apps:favorites:add", "-a", APP).ends().says(rf"Adding .*{APP} to favorites\.\.\. done")
    here.heroku("apps:favorites").ends().says("Favorited Apps", rf"^(⬢ )?{APP}$")
    here.heroku("apps:favorites:remove", "-a", APP).ends().says(rf"Removing .*{APP} from favorites\.\.\. done")
    assert here.api("GET", "/favorites?type=app")[1] == []


def what_is_elsewhere_is_refused(here):
    """Nothing is pretended: each says that it is not there, and nothing of the app has changed."""
    before = here.api("GET", f"/apps/{APP}/formation")[1]
    tunnel, app = "renga ps:exec|run:inside", ["-a", APP]
    asked = [
        (["certs:auto:enable"], "agree_to_terms"),
        (["certs:auto:refresh"], "agree_to_terms"),
        (["apps:errors"], "not offered"),
        (["ps:autoscale:enable", "--min", "1", "--max", "2"], "only available with Performance"),
        (["ps:autoscale:disable"], "not offered"),
        (["ps:copy", "no-such-file"], tunnel),
        (["ps:exec"], tunnel),
        (["ps:forward", "8080"], tunnel),
        (["ps:socks"], tunnel),
    ]
    for (_, words), result in zip(asked, here.side_by_side(*[[*command, *app] for command, _ in asked])):
        refused(result, words)
    here.heroku("certs:auto:disable", "-a", APP, "--confirm", APP).ends()
    here.heroku("certs:auto", "-a", APP).ends().says("Automatic Certificate Management is disabled")
    assert here.api("GET", f"/apps/{APP}/formation")[1] == before


def refused(result, *words):
    """The CLI ends with 1 or 2, by the command."""
    assert result.code in (1, 2), result.text
    result.says(*words)
    assert "undefined" not in result.text and "at file:" not in result.text, result.text


def commands_of_this_machine(here):
    local = here.platform.home / "local"
    local.mkdir()
    (local / ".env").write_text("GREETING=from the file\n")
    here.heroku("local:run", "printenv", "GREETING", cwd=local).ends().says("^from the file")
    here.heroku("local:version").ends().says(r"\d+\.\d+\.\d+")
