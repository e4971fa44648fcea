"""An authority that speaks ACME (pebble) with a DNS of its own, on loopback."""

import json
import os
import pathlib
import shutil
import ssl
import subprocess
import tempfile
import urllib.request

from platform_under_test import Failed, free_ports, wait_for


class Authority:
    def __init__(self):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="renga-acme-"))
        # The platform's server, which is not root, reads the CA's certificate.
        self.home.chmod(0o755)
        self.acme, self.management, self.dns, self.dns_management = free_ports(4)
        self.children = []
        self._certificate()
        self.config = self.home / "renga.toml"
        self.config.write_text(
            f'[acme]\nagree_to_terms = true\ndirectory = "https://localhost:{self.acme}/dir"\nca_file = "{self.home}/cert.pem"\n'
        )
        self.config.chmod(0o644)

    def _certificate(self):
        made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", "ca-key.pem", "-out", "cert.pem"]
        asked = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "leaf.csr"]
        signed = ["openssl", "x509", "-req", "-in", "leaf.csr", "-CA", "cert.pem", "-CAkey", "ca-key.pem", "-set_serial", "2", "-days", "2", "-extfile", "names", "-out", "leaf.pem"]
        (self.home / "names").write_text("subjectAltName=DNS:localhost\n")
        for command in (made, asked, signed):
            subprocess.run(command, cwd=self.home, check=True, capture_output=True)
        (self.home / "cert.pem").chmod(0o644)

    def start(self, http_port):
        """It looks for names' proofs at this port."""
        here = "127.0.0.1"
        settings = {
            "listenAddress": f"{here}:{self.acme}",
            "managementListenAddress": f"{here}:{self.management}",
            "certificate": f"{self.home}/leaf.pem",
            "privateKey": f"{self.home}/key.pem",
            "httpPort": http_port,
            "tlsPort": 1,
        }
        (self.home / "pebble.json").write_text(json.dumps({"pebble": settings}))
        self._run("pebble-challtestsrv", "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", "", "-dns01", f"{here}:{self.dns}", "-management", f"{here}:{self.dns_management}")
        self._run("pebble", "-config", self.home / "pebble.json", "-dnsserver", f"{here}:{self.dns}")
        self.root = wait_for("pebble", 20, self._root)

    def _run(self, *args):
        log = open(self.home / "log", "ab")
        env = {**os.environ, "PEBBLE_VA_NOSLEEP": "1"}
        self.children.append(subprocess.Popen([str(arg) for arg in args], stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=env))

    def _root(self):
        """PEM of what its certificates are signed by."""
        if any(child.poll() is not None for child in self.children):
            raise Failed(f"the authority ended:\n{(self.home / 'log').read_text()}")
        context = ssl.create_default_context(cafile=self.home / "cert.pem")
        try:
            return self._open(f"https://localhost:{self.management}/roots/0", context=context)
        except OSError:
            return None

    def resolve(self, host, *addresses):
        """With no address: where the others lead."""
        path, body = ("add-a", {"addresses": addresses}) if addresses else ("clear-a", {})
        body = json.dumps({"host": f"{host}.", **body}).encode()
        self._open(f"http://127.0.0.1:{self.dns_management}/{path}", data=body)

    def _open(self, url, data=None, context=None):
        handlers = [urllib.request.ProxyHandler({})] + ([urllib.request.HTTPSHandler(context=context)] if context else [])
        with urllib.request.build_opener(*handlers).open(url, data, timeout=10) as answer:
            return answer.read().decode()

    def stop(self):
        for child in self.children:
            child.kill()
            child.wait()
        shutil.rmtree(self.home, ignore_errors=True)
