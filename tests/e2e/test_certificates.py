"""Automatic certificates, with the unmodified official CLI and a real ACME server: from `certs:auto:enable` to a handshake."""

import re
import socket
import ssl

from acme_authority import Authority
from platform_under_test import Platform, wait_for

APP, HOST, ASTRAY = "secured", "www.example.com", "astray.example.com"


def test_certificates_come_by_themselves():
    authority = Authority()
    try:
        platform = Platform("--config", authority.config)
        authority.start(int(platform.ports[platform.ports.index("--router") + 1].rpartition(":")[2]))
        with platform:
            platform.heroku("create", APP).ends()
            platform.heroku("domains:add", HOST, "-a", APP).ends()
            a_name_gets_its_certificate(platform, authority)
            a_name_that_leads_elsewhere_says_so(platform, authority)
    finally:
        authority.stop()


def a_name_gets_its_certificate(platform, authority):
    platform.heroku("certs:auto:enable", "-a", APP).ends().says("Enabling Automatic Certificate Management")
    until(platform, HOST, "cert issued")
    shown = platform.heroku("certs:auto", "--wait", "-a", APP).ends()
    shown.says("Automatic Certificate Management is enabled", rf"{HOST} +Cert issued", "Common Name")
    platform.heroku("certs", "-a", APP).ends().says(rf"{HOST}.* ACM")
    names = {name for kind, name in handshake(platform, authority, HOST)["subjectAltName"] if kind == "DNS"}
    assert names == {HOST}, names


def a_name_that_leads_elsewhere_says_so(platform, authority):
    # Nobody listens there.
    authority.resolve(ASTRAY, "127.0.0.2")
    platform.heroku("domains:add", ASTRAY, "-a", APP).ends()
    until(platform, ASTRAY, "failing")
    shown = re.sub(r"\s+", " ", platform.heroku("certs:auto", "-a", APP).ends().text)
    assert "Failing" in shown and "failing validation" in shown, shown
    reason = domain(platform, ASTRAY)["acm_status_reason"]
    assert f"could not connect to {ASTRAY} on port 80" in reason, reason
    authority.resolve(ASTRAY)
    platform.heroku("certs:auto:refresh", "-a", APP).ends()
    until(platform, ASTRAY, "cert issued")
    handshake(platform, authority, ASTRAY)


def domain(platform, host):
    return platform.api("GET", f"/apps/{APP}/domains/{host}")[1]


def until(platform, host, status):
    wait_for(f"{status} of {host}", 30, lambda: domain(platform, host)["acm_status"] == status)


def handshake(platform, authority, host):
    """The certificate that the router shows to somebody who trusts that authority only."""
    port = int(platform.endpoints["router_tls"].rpartition(":")[2])
    context = ssl.create_default_context(cadata=authority.root)

    def shake():
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as raw, context.wrap_socket(raw, server_hostname=host) as tls:
                return tls.getpeercert()
        except ssl.SSLCertVerificationError:
            return None

    # The router hears of it a moment after the ledger.
    return wait_for(f"a certificate for {host}", 10, shake)
