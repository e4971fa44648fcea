"""Accounts with the unmodified official CLI: authorizations, clients, sessions, keys, features, and logging in, with a second
factor too; and the operator's own commands.
"""

import base64
import hashlib
import hmac
import http.client
import json
import re
import struct
import time
import urllib.parse

from platform_under_test import HEROKU, RENGA, Platform

PASSWORD = "correct horse battery"
NEW_PASSWORD = "staple of another kind"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f ada@laptop"


def test_accounts():
    with Platform() as platform:
        authorizations(platform)
        clients(platform)
        keys(platform)
        labs(platform)
        users_come_and_go(platform)
        ada_logs_in_with_two_factors(platform)


def authorizations(platform):
    made = platform.heroku("authorizations:create", "-d", "ci", "-s", "read", "-e", "3600", "--json").ends()
    made = json.loads(made.out)
    token, path = made["access_token"]["token"], f"/oauth/authorizations/{made['id']}"
    assert made["scope"] == ["read"] and opens(platform, token) == 200, made
    platform.heroku("authorizations:update", made["id"], "-d", "robot").ends().says(r"Updating OAuth Authorization\.\.\. done", r"Description: +robot")
    assert platform.api("GET", path)[1]["description"] == "robot"
    platform.heroku("authorizations").ends().says(r"robot +\S+ +read")
    rotated = platform.heroku("authorizations:rotate", made["id"]).ends().says(r"Rotating OAuth Authorization\.\.\. done", r"Token: +HRKU-")
    fresh = re.search(r"HRKU-\S+", rotated.text)[0]
    assert (opens(platform, token), opens(platform, fresh)) == (401, 200)
    platform.heroku("authorizations:revoke", made["id"]).ends().says("revoked authorization from robot")
    assert opens(platform, fresh) == 401
    platform.heroku("authorizations:info", made["id"]).ends(2).says("Couldn't find that authorization", "not_found")


def clients(platform):
    callback = "https://client.example.com/back"
    platform.heroku("clients").ends().says("No OAuth clients")
    made = platform.heroku("clients:create", "Robot", callback, "--json").ends()
    made = json.loads(made.out)
    assert made["redirect_uri"] == callback and made["secret"], made
    platform.heroku("clients:update", made["id"], "-n", "Android").ends().says(r"Updating \S+\.\.\. done")
    platform.heroku("clients:info", made["id"]).ends().says("Android", made["secret"])

    status, granted = platform.api("POST", "/oauth/authorizations", {"client": made["id"], "scope": ["identity"]})
    assert status == 201, granted
    form = {"grant_type": "authorization_code", "code": granted["grant"]["code"], "client_secret": made["secret"]}
    status, tokens = platform.api(
        "POST",
        "/oauth/token",
        urllib.parse.urlencode(form).encode(),
        {"Authorization": None, "Content-Type": "application/x-www-form-urlencoded"},
    )
    assert status == 200 and opens(platform, tokens["access_token"], "/account") == 200, tokens
    assert opens(platform, tokens["access_token"]) == 403, "the scope allows no more"

    rotated = platform.heroku("clients:rotate", made["id"], "--shell").ends().says(r"HEROKU_OAUTH_SECRET=\S+")
    assert made["secret"] not in rotated.out
    platform.heroku("clients:destroy", made["id"]).ends().says(r"Destroying \S+\.\.\. done")
    assert opens(platform, tokens["access_token"], "/account") == 401


def keys(platform):
    platform.heroku("keys").ends().says("You have no SSH keys")
    file = platform.home / "id.pub"
    file.write_text(KEY + "\n")
    platform.heroku("keys:add", file).ends().says(r"Uploading \S+ SSH key\.\.\. done")
    platform.heroku("keys:add", file).ends(2).says("Fingerprint has already been taken")
    platform.heroku("keys").ends().says("ada@laptop keys", r"ssh-ed25519 AAAAC3NzaC\.\.\.gZGhscHR4f ada@laptop")
    [shown] = platform.api("GET", "/account/keys")[1]
    assert shown["fingerprint"] == "0f:a2:0a:d7:38:3e:65:45:08:6b:63:84:1c:ff:dc:ba"
    platform.heroku("keys:remove", "ada@laptop").ends().says(r"Removing ada@laptop SSH key\.\.\. done")
    assert platform.api("GET", "/account/keys")[1] == []
    platform.api("POST", "/account/keys", {"public_key": KEY})
    platform.heroku("keys:clear").ends().says("done")
    assert platform.api("GET", "/account/keys")[1] == []


def labs(platform):
    feature = "new-apps-log-runtime-metrics"
    platform.heroku("labs").ends().says("User Features admin@localhost", rf"\[ \] {feature} +Apps that you create begin")
    platform.heroku("labs:enable", feature).ends().says(rf"Enabling {feature} for admin@localhost\.\.\. done")
    platform.api("POST", "/apps", {"name": "metered"})
    enabled = platform.api("GET", "/apps/metered/features/log-runtime-metrics")[1]["enabled"]
    assert enabled is True
    platform.heroku("labs:info", feature).ends().says(r"Enabled: +true")
    # What is no feature of the account is looked for in the app.
    platform.heroku("labs:disable", "log-runtime-metrics", "-a", "metered").ends().says("for ⬢ metered|for metered")
    platform.heroku("labs:disable", feature).ends().says("done")
    assert platform.api("GET", f"/account/features/{feature}")[1]["enabled"] is False
    platform.heroku("labs:enable", "no-such-feature").ends(2).says("Couldn't find that account feature")


# === the operator's commands ===


def users_come_and_go(platform):
    renga = lambda *words: platform.run(RENGA, *words, "--data-dir", platform.data)
    invited = renga("users", "add", "ada@example.com").ends().says("Give this link to ada@example.com")
    assert page(platform, "GET", invited.out.strip())[0] == 200
    form = {"password": PASSWORD, "password_confirmation": PASSWORD}
    status, text = page(platform, "POST", invited.out.strip(), form)
    assert status == 200 and "ada@example.com" in text, text
    assert page(platform, "POST", invited.out.strip(), form)[0] == 404, "a link works once"

    reset = renga("users", "reset-password", "ada@example.com").ends()
    assert page(platform, "POST", reset.out.strip(), {"password": NEW_PASSWORD, "password_confirmation": NEW_PASSWORD})[0] == 200
    assert log_in(platform, PASSWORD)[0] == 401
    status, answer = log_in(platform, NEW_PASSWORD)
    assert status == 201
    token = answer["access_token"]["token"]
    renga("users", "disable", "ada@example.com").ends().says("Disabling ada@example.com... done")
    renga("users").ends().says(r"ada@example.com +disabled", r"admin@localhost +enabled .*operator")
    assert opens(platform, token) == 403 and log_in(platform, NEW_PASSWORD)[1]["id"] == "suspended"
    renga("users", "enable", "ada@example.com").ends()
    assert opens(platform, token) == 200
    assert opens(platform, token, "/renga/users") == 403
    users = json.loads(renga("users", "list", "--json").ends().out)
    assert [user["email"] for user in users] == ["ada@example.com", "admin@localhost"]


def ada_logs_in_with_two_factors(platform):
    _, answer = log_in(platform, NEW_PASSWORD)
    bearer = {"Authorization": f"Bearer {answer['access_token']['token']}"}
    status, begun = platform.api("POST", "/renga/two-factor", {"password": NEW_PASSWORD}, bearer)
    assert status == 201, begun
    status, done = platform.api("POST", "/renga/two-factor/actions/enable", {"code": totp(begun["secret"])}, bearer)
    assert status == 200 and len(done["recovery_codes"]) == 10, done
    assert log_in(platform, NEW_PASSWORD)[1]["id"] == "two_factor"

    terminal = platform.terminal(HEROKU, "login", "-i", token=False)
    terminal.until("Email")
    terminal.type("ada@example.com\r")
    terminal.until("Password")
    terminal.type(NEW_PASSWORD + "\r")
    terminal.until("Two-factor code")
    terminal.type(done["recovery_codes"][0] + "\r")
    terminal.until("Logged in as ada@example.com")
    terminal.ends()

    as_ada = lambda *words: platform.heroku(*words, token=False)
    as_ada("whoami").ends().says("ada@example.com")
    as_ada("2fa").ends().says("Two-factor authentication is enabled")
    sessions = as_ada("sessions", "--json").ends()
    here = [session for session in json.loads(sessions.out) if session["description"].startswith("Heroku CLI login")]
    assert len(here) == 1, sessions.out
    others = [session["id"] for session in json.loads(sessions.out) if session["id"] != here[0]["id"]]
    as_ada("sessions:destroy", others[0]).ends().says(r"Destroying \S+\.\.\. done")
    listed = as_ada("sessions").ends().says(here[0]["id"])
    assert others[0] not in listed.out
    as_ada("logout").ends()
    assert "ada@example.com" not in (platform.user_home / ".netrc").read_text()
    left = json.loads(platform.run(RENGA, "users", "list", "--json", "--data-dir", platform.data).out)
    [ada] = [user for user in left if user["email"] == "ada@example.com"]
    assert ada["two_factor_authentication"] and ada["last_login"], ada
    platform.run(RENGA, "users", "disable-two-factor", "ada@example.com", "--data-dir", platform.data).ends()
    assert log_in(platform, NEW_PASSWORD)[0] == 201


# === helpers ===


def opens(platform, token, path="/apps"):
    return platform.api("GET", path, headers={"Authorization": f"Bearer {token}"})[0]


def log_in(platform, password):
    basic = base64.b64encode(f"ada@example.com:{password}".encode()).decode()
    body = {"description": "by hand", "scope": ["global"], "expires_in": 3600}
    return platform.api("POST", "/oauth/authorizations", body, {"Authorization": f"Basic {basic}"})


def page(platform, method, url, form=None):
    """What a browser gets; it has no token."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    try:
        body = urllib.parse.urlencode(form) if form else None
        connection.request(method, parts.path, body, {"Content-Type": "application/x-www-form-urlencoded"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def totp(secret):
    """As an authenticator shows it (RFC 6238)."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    digest = hmac.new(key, struct.pack(">Q", int(time.time()) // 30), hashlib.sha1).digest()
    offset = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[offset : offset + 4])[0] & 0x7FFFFFFF) % 10**6:06d}"
