"""Who has access, with the unmodified official CLI: the groups access, members, teams and orgs, and apps that are
transferred, joined, left, locked.
"""

import base64
import re
import subprocess
import urllib.parse

from platform_under_test import HEROKU, Platform, Result

PASSWORD = "correct horse battery"


def test_access_transfers_and_teams():
    with Platform() as platform:
        owner = Someone(platform, "owner@example.com")
        jane = Someone(platform, "jane@example.com")
        collaborate(owner, jane)
        invite_a_newcomer(platform, owner)
        transfer(owner, jane)
        lead_a_team(owner, jane)
        lock_and_join(owner, jane)
        permit(owner, jane)
        give_apps_away(owner, jane)


class Someone:
    """An account with a command line of its own."""

    def __init__(self, platform, email, make=True):
        self.platform, self.email = platform, email
        if make:
            status, made = platform.api("POST", "/renga/users", {"email": email, "password": PASSWORD})
            assert status == 201, f"{email} was not made: {status} {made}"
        basic = base64.b64encode(f"{email}:{PASSWORD}".encode()).decode()
        status, made = platform.api("POST", "/oauth/authorizations", {}, {"Authorization": f"Basic {basic}"})
        assert status == 201, f"{email} does not log in: {status} {made}"
        self.token = made["access_token"]["token"]

    def heroku(self, *args):
        env = {**self.platform.env(), "HEROKU_API_KEY": self.token}
        done = subprocess.run(
            [HEROKU, *args], cwd=self.platform.home, env=env, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL
        )
        # Long messages are broken for the width of a terminal.
        err = re.sub(r"\s*\n [›▸]\s+", " ", done.stderr)
        return Result([str(HEROKU), *args], done.returncode, done.stdout, err)

    def api(self, method, path, body=None):
        return self.platform.api(method, path, body, {"Authorization": f"Bearer {self.token}"})

    def may(self, app):
        """Status of looking at an app."""
        return self.api("GET", f"/apps/{app}")[0]

    def collaborators(self, app):
        """E-mail address to permissions."""
        status, all = self.api("GET", f"/apps/{app}/collaborators")
        assert status == 200, f"{status} {all}"
        return {one["user"]["email"]: [each["name"] for each in one["permissions"]] for one in all}

    def app(self, app):
        status, found = self.api("GET", f"/apps/{app}")
        assert status == 200, f"{status} {found}"
        return found


def collaborate(owner, jane):
    assert owner.api("POST", "/apps", {"name": "shared"})[0] == 201
    assert jane.may("shared") == 404
    owner.heroku("access:add", jane.email, "-a", "shared").ends().says(f"Adding {jane.email} access to the app .*shared... done")
    owner.heroku("access", "-a", "shared").ends().says(
        rf"{jane.email} +collaborator +deploy, operate, view", rf"{owner.email} +owner +deploy, manage, operate, view"
    )
    jane.heroku("apps").ends().says("Collaborated Apps", rf"shared +{owner.email}")
    jane.heroku("apps:destroy", "shared", "--confirm", "shared").ends(2).says("do not have permission")
    owner.heroku("access:update", jane.email, "-a", "shared", "-p", "deploy").ends(2).says("not owned by a team")
    owner.heroku("access:remove", jane.email, "-a", "shared").ends().says(f"Removing {jane.email} access from the app .*shared... done")
    assert jane.may("shared") == 404, "a removed collaborator still sees the app"
    assert owner.api("POST", "/apps/shared/collaborators", {"user": jane.email})[0] == 201
    jane.heroku("apps:leave", "-a", "shared").ends().says("Leaving .*shared... done")
    assert list(owner.collaborators("shared")) == [owner.email], "who has left is still there"


def invite_a_newcomer(platform, owner):
    added = owner.heroku("access:add", "new@example.com", "-a", "shared").ends().says("has no account yet", "hand over this link")
    path = re.search(r"/auth/invitations/[\w-]+", added.text.replace(" ", ""))[0]
    form = urllib.parse.urlencode({"password": PASSWORD, "password_confirmation": PASSWORD}).encode()
    status, page = platform.api("POST", path, form, {"Authorization": None, "Content-Type": "application/x-www-form-urlencoded"})
    assert status == 200, f"{status} {page}"
    newcomer = Someone(platform, "new@example.com", make=False)
    assert newcomer.app("shared")["owner"]["email"] == owner.email
    assert owner.api("DELETE", "/apps/shared/collaborators/new@example.com")[0] == 200


def transfer(owner, jane):
    offered = owner.heroku("apps:transfer", jane.email, "-a", "shared").ends()
    offered.says(f"Initiating transfer of .*shared to {jane.email}... ", rf"{jane.email} accepts with: PATCH")
    assert owner.app("shared")["owner"]["email"] == owner.email, "an offer alone gave the app away"
    status, answer = jane.api("PATCH", "/account/app-transfers/shared", {"state": "accepted"})
    assert status == 200 and answer["state"] == "accepted", f"{status} {answer}"
    assert owner.app("shared")["owner"]["email"] == jane.email
    assert owner.email in jane.collaborators("shared"), "who gave the app away lost it altogether"


def lead_a_team(owner, jane):
    status, made = owner.api("POST", "/teams", {"name": "acme"})
    assert status == 201, f"{status} {made}"
    owner.heroku("teams").ends().says(r"acme +admin")
    owner.heroku("orgs").ends().says(r"acme +admin")
    owner.heroku("members:add", jane.email, "--team", "acme", "--role", "member").ends().says(f"Adding {jane.email} to .*acme as member... done")
    owner.heroku("members", "--team", "acme").ends().says(rf"{jane.email} +member", rf"{owner.email} +admin")
    owner.heroku("members:set", jane.email, "--team", "acme", "--role", "admin").ends().says("as admin... done")
    assert jane.api("GET", "/teams/acme")[1]["role"] == "admin"
    assert owner.api("PATCH", "/teams/acme/members", {"email": jane.email, "role": "member"})[0] == 200
    jane.heroku("members:set", jane.email, "--team", "acme", "--role", "admin").ends(2).says("do not have permission")
    owner.heroku("members:remove", owner.email, "--team", "acme").ends(2).says("at least one admin")


def lock_and_join(owner, jane):
    owner.heroku("apps:create", "lathe", "--team", "acme").ends().says("lathe")
    assert owner.app("lathe")["team"]["name"] == "acme"
    owner.heroku("apps:lock", "-a", "lathe").ends().says("Locking .*lathe... done")
    owner.heroku("apps", "--team", "acme").ends().says("Apps in team .*acme", r"lathe \[locked\]")
    jane.heroku("apps:join", "-a", "lathe").ends(2).says("is locked")
    assert jane.may("lathe") == 403, "a member sees into a locked app"
    owner.heroku("apps:unlock", "-a", "lathe").ends().says("Unlocking .*lathe... done")
    jane.heroku("apps:join", "-a", "lathe").ends().says("Joining .*lathe... done")
    assert owner.collaborators("lathe")[jane.email] == ["deploy", "operate", "view"]
    assert jane.api("DELETE", "/apps/lathe/collaborators/~")[0] == 200
    assert jane.email not in owner.collaborators("lathe")


def permit(owner, jane):
    owner.heroku("access:add", jane.email, "-a", "lathe").ends(1).says("Missing argument: permissions")
    owner.heroku("access:add", jane.email, "-a", "lathe", "-p", "operate").ends().says("with operate, view permissions... done")
    assert jane.api("PATCH", "/apps/lathe", {"maintenance": True})[0] == 200
    jane.heroku("config", "-a", "lathe").ends(2).says("do not have permission")
    owner.heroku("access:update", jane.email, "-a", "lathe", "-p", "deploy").ends().says("with deploy,view permissions... done")
    assert jane.api("PATCH", "/apps/lathe", {"maintenance": False})[0] == 403
    owner.heroku("access", "-a", "lathe").ends().says(rf"{jane.email} +member +deploy, view", rf"{owner.email} +admin")


def give_apps_away(owner, jane):
    jane.heroku("apps:transfer", "acme", "-a", "shared", "--locked").ends().says("Transferring .*shared to .*acme... done")
    assert jane.app("shared")["owner"]["email"] == "acme@herokumanager.com"
    assert owner.api("GET", "/teams/apps/shared")[1]["locked"] is True
    owner.heroku("apps:transfer", jane.email, "-a", "lathe", "--confirm", "lathe").ends().says("Transferring .*lathe to .*... done")
    assert jane.app("lathe")["owner"]["email"] == jane.email
    assert list(jane.collaborators("lathe")) == [jane.email], "collaborators stayed when the team gave its app away"
    jane.heroku("members:remove", jane.email, "--team", "acme").ends().says(f"Removing {jane.email} from .*acme... done")
    assert jane.may("shared") == 404, "who has left a team still sees its apps"
    status, refused = owner.api("DELETE", "/teams/acme")
    assert status == 422 and "apps" in refused["message"], f"{status} {refused}"
