"""Groups of the official CLI that no other test goes through: apps, domains, certs, features, labs, regions, stack, status,
releases, config, git, local. What a person would look at: the exit code, the words, and what has become of the app."""

import http.client
import json
import re
import socket
import ssl

from app_under_test import App
from platform_under_test import wait_for

HOST = "www.example.com"


def test_apps_domains_certificates_and_the_small_groups():
    with Platform_with_app() as (platform, app):
        custom_domains(platform)
        certificates(platform)
        small_groups(platform, app)
        the_end_of_an_app(platform)


class Platform_with_app:
    """One platform, one app, deployed."""

    def __enter__(self):
        from platform_under_test import Platform

        self.platform = Platform().start()
        app = App(self.platform, "contract", ticker="exec sleep 1000")
        app.deploy()
        return self.platform, app

    def __exit__(self, *_):
        self.platform.stop()
        self.platform.clear()


def refused(result, *words):
    """The CLI ends with 1 or 2, by the command."""
    assert result.code in (1, 2), result.text
    result.says(*words)


# === domains ===


def custom_domains(platform):
    added = platform.heroku("domains:add", HOST, "-a", "contract").ends(0)
    target = re.search(r"DNS Target (dns-\w+\.localhost)\.", added.text)
    assert target, added.text
    wait_for("the custom domain to be routed", 10, lambda: fetch(platform, HOST, tls=False)[0] == 200)
    # Until there is a certificate of its own, the platform's authority signs one.
    assert fetch(platform, HOST)[0] == 200

    platform.heroku("domains", "-a", "contract").ends(0).says(r"contract\.localhost", rf"{re.escape(HOST)} .*{re.escape(target[1])}")
    platform.heroku("domains:info", HOST, "-a", "contract").ends(0).says(r"kind: +custom", r"status: +none")
    platform.heroku("domains:wait", HOST, "-a", "contract").ends(0)
    refused(platform.heroku("domains:add", HOST, "-a", "contract"), r"already added to this app")
    refused(platform.heroku("domains:add", "x.localhost", "-a", "contract"), r"not allowed")
    platform.heroku("domains:add", "*.example.org", "-a", "contract").ends(0)
    wait_for("the wildcard to be routed", 10, lambda: fetch(platform, "any.example.org")[0] == 200)
    platform.heroku("domains:remove", "*.example.org", "-a", "contract").ends(0)
    wait_for("the wildcard to be gone", 10, lambda: fetch(platform, "any.example.org", tls=False)[0] == 404)


def fetch(platform, host, tls=True, cafile=None):
    """(status, certificate) of one request through the router under that name."""
    address, port = re.match(r"https?://([^:]+):(\d+)", platform.endpoints["router_tls" if tls else "router"]).groups()
    raw, certificate = socket.create_connection(("127.0.0.1", int(port)), timeout=30), None
    if tls:
        context = ssl.create_default_context(cafile=cafile or platform.endpoints["ca"])
        raw = context.wrap_socket(raw, server_hostname=host)
        certificate = raw.getpeercert()
    with raw:
        raw.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = http.client.HTTPResponse(raw)
        answer.begin()
        answer.read()
        return answer.status, certificate


# === certificates ===


def certificates(platform):
    # Made by the CLI itself, with openssl.
    made = platform.heroku("certs:generate", HOST, "-a", "contract", "--selfsigned", "--owner", "First").ends(0)
    made.says("self-signed certificate have been generated")
    crt, key = platform.home / f"{HOST}.crt", platform.home / f"{HOST}.key"
    serving = trusted(platform, "first", "First")

    # The CLI asks which domains to serve it for; a person presses the space bar and return.
    asked = platform.terminal("heroku", "certs:add", serving[0], serving[1], "-a", "contract")
    asked.until(r"Select domains")
    asked.type(" \r")
    asked.ends(0)
    [endpoint] = platform.api("GET", "/apps/contract/sni-endpoints")[1]
    name = endpoint["name"]
    wait_for("the uploaded certificate", 10, lambda: organisation(platform, serving[0]) == "First")

    shown = platform.heroku("certs", "-a", "contract").ends(0)
    shown.says(name, re.escape(HOST))
    info = platform.heroku("certs:info", "--name", name, "-a", "contract", "--show-domains").ends(0)
    info.says(r"Common Name\(s\): +www\.example\.com", r"Subject: .*/CN=www\.example\.com", r"self signed", re.escape(HOST))

    second = trusted(platform, "second", "Second")
    platform.heroku("certs:update", second[0], second[1], "--name", name, "--confirm", "contract", "-a", "contract").ends(0)
    wait_for("the replaced certificate", 10, lambda: organisation(platform, second[0]) == "Second")
    # A key of another certificate is not taken, and nothing changes.
    refused(platform.heroku("certs:update", second[0], key, "--name", name, "--confirm", "contract", "-a", "contract"), "does not match")
    assert organisation(platform, second[0]) == "Second"
    assert crt.read_text().startswith("-----BEGIN CERTIFICATE")

    platform.heroku("certs:remove", "--name", name, "--confirm", "contract", "-a", "contract").ends(0)
    wait_for("the platform's own certificate", 10, lambda: fetch(platform, HOST)[0] == 200)
    platform.heroku("domains:add", "api.example.com", "-a", "contract").ends(0)
    refused(platform.heroku("domains:update", "api.example.com", "--cert", "none", "-a", "contract"), "Couldn't find that sni endpoint")
    platform.heroku("domains:clear", "-a", "contract").ends(0)
    assert [one["kind"] for one in platform.api("GET", "/apps/contract/domains")[1]] == ["heroku"]
    # No key of anybody's in what the operator reads.
    assert "PRIVATE KEY" not in platform.operator_log()


def trusted(platform, name, organisation):
    """A certificate that signs itself, with the alternative name that today's clients ask for."""
    crt, key = platform.home / f"{name}.crt", platform.home / f"{name}.key"
    platform.run(
        *["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-keyout", key, "-out", crt],
        *["-subj", f"/O={organisation}/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"],
    ).ends(0)
    return crt, key


def organisation(platform, trusted):
    try:
        _, certificate = fetch(platform, HOST, cafile=trusted)
    except ssl.SSLError:
        return None
    return dict(part[0] for part in certificate["subject"])["organizationName"]


# === the small groups ===


def small_groups(platform, app):
    platform.heroku("regions").ends(0).says(r"^ *us\b")
    platform.heroku("status").ends(0).says(r"Apps: +No known issues at this time")
    platform.heroku("stack", "-a", "contract").ends(0).says(r"\* heroku-24")
    platform.heroku("stack:set", "host", "-a", "contract").ends(0).says(r"next release|host")
    assert platform.api("GET", "/apps/contract")[1]["build_stack"]["name"] == "host"
    platform.heroku("stack:set", "heroku-24", "-a", "contract").ends(0)

    platform.heroku("features", "-a", "contract").ends(0).says("preboot")
    refused(platform.heroku("features:enable", "preboot", "-a", "contract"), "already enabled")
    platform.heroku("features:info", "preboot", "-a", "contract").ends(0).says("Enabled: +true")
    platform.heroku("labs:info", "runtime-dyno-metadata", "-a", "contract").ends(0).says("runtime-dyno-metadata")
    platform.heroku("labs:enable", "runtime-dyno-metadata", "-a", "contract").ends(0)
    platform.heroku("labs:disable", "runtime-dyno-metadata", "-a", "contract").ends(0)
    assert platform.api("GET", "/apps/contract/features/runtime-dyno-metadata")[1]["enabled"] is False

    platform.heroku("maintenance", "-a", "contract").ends(0).says("^off$")

    info = platform.heroku("releases:info", "-a", "contract").ends(0)
    info.says(r"Change: +Deploy", r"By: +admin@localhost")
    platform.heroku("git:remote", "-a", "contract", cwd=app.repository).ends(0).says(r"set git remote heroku to .*/contract\.git")
    versions = json.loads(platform.heroku("releases", "-a", "contract", "--json").ends(0).out)
    assert versions[0]["version"] == len(versions), versions


# === renamed, destroyed ===


def the_end_of_an_app(platform):
    platform.heroku("apps:rename", "renamed", "-a", "contract").ends(0).says("Renaming")
    wait_for("the new name to be routed", 10, lambda: fetch(platform, "renamed.localhost")[0] == 200)
    assert fetch(platform, "contract.localhost")[0] == 404
    platform.heroku("apps:info", "-a", "renamed").ends(0).says(r"=== renamed", r"Web URL: +https://renamed\.localhost")

    # Without the right name nothing is destroyed.
    refused(platform.heroku("apps:destroy", "-a", "renamed", "--confirm", "wrong"))
    assert platform.api("GET", "/apps/renamed")[0] == 200
    id = platform.api("GET", "/apps/renamed")[1]["id"]
    platform.heroku("apps:destroy", "-a", "renamed", "--confirm", "renamed").ends(0).says("Destroying")
    refused(platform.heroku("apps:info", "-a", "renamed"), "Couldn't find that app")
    assert fetch(platform, "renamed.localhost")[0] == 404
    # Its repository, its dynos' disks and its logs go with it: nothing on the disk is called after it any more.
    wait_for("everything of the app to be gone from the disk", 60, lambda: not [p for p in platform.data.rglob(f"*{id}*")])
