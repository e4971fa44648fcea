"""Heroku's own names, led to a platform under test (docs/host-override.md)."""

import concurrent.futures
import random
import re
import shlex
import subprocess

from platform_under_test import HEROKU, ROOT, Platform, Result, Terminal, wait_for


class Override:
    """A platform on port 443 of an address of its own, and a machine whose hosts file is that of the documentation."""

    def __init__(self):
        self.platform = Platform()
        self.address = f"127.{random.randint(64, 254)}.{random.randint(0, 254)}.{random.randint(2, 254)}"
        ports = dict(zip(self.platform.ports[::2], self.platform.ports[1::2]))
        ports["--api-tls"] = f"{self.address}:443"
        for door in ("--api", "--rendezvous"):
            ports[door] = f"{self.address}:{ports[door].rpartition(':')[2]}"
        self.platform.ports = [word for pair in ports.items() for word in pair]
        self.platform.flags += ["--heroku-names", "--public-host", self.address]
        documented = (ROOT / "docs/host-override.md").read_text()
        names = re.search(r"^    192\.0\.2\.10 (api\.heroku\.com .*)$", documented, re.M).group(1)
        self.hosts = self.platform.home / "hosts"
        self.hosts.write_text(f"127.0.0.1 localhost\n{self.address} {names}\n")
        # File of this machine: what its clients find in its place.
        self.laid_over = {"/etc/hosts": self.hosts}
        self.opened = self.platform.home / "opened"
        browser = self.script("browser", f'echo "$1" >>{shlex.quote(str(self.opened))}')
        self.env = {
            **self.platform._bare_env(),
            "DISABLE_TELEMETRY": "true",
            "HEROKU_SKIP_NEW_VERSION_CHECK": "true",
            "HEROKU_DISABLE_AUTOUPDATE": "1",
            "HEROKU_NETRC_WRITE": "true",
            "BROWSER": str(browser),
        }

    def __enter__(self):
        self.platform.start()
        self.env |= {name: self.platform.endpoints["ca"] for name in ("NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO")}
        return self

    def __exit__(self, *_):
        self.platform.stop()
        self.platform.clear()

    def script(self, name, text):
        path = self.platform.home / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    def overridden(self, args):
        """In a mount namespace of its own, where the hosts file is another one."""
        mounts = "".join(f"mount --bind {shlex.quote(str(ours))} {shlex.quote(str(theirs))} && " for theirs, ours in self.laid_over.items())
        return ["unshare", "--mount", "sh", "-c", f'{mounts}exec "$@"', "sh", *args]

    def run(self, *args, cwd=None, stdin="", env=None, timeout=120):
        args = [str(arg) for arg in args]
        done = subprocess.run(
            [str(word) for word in self.overridden(args)],
            cwd=cwd or self.platform.home,
            env={**self.env, **(env or {})},
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
        )
        # Long messages are broken for the width of a terminal.
        return Result(args, done.returncode, done.stdout, re.sub(r"\s*\n [›▸]\s+", " ", done.stderr))

    def heroku(self, *args, **kwargs):
        return self.run(HEROKU, *args, **kwargs)

    def side_by_side(self, *calls):
        """Calls of the CLI that do not depend on one another; most of each is its start. The results in order."""
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            return list(pool.map(lambda words: self.heroku(*words), calls))

    def terminal(self, *args, cwd=None, env=None):
        words = [str(word) for word in self.overridden([str(arg) for arg in args])]
        return Terminal(words, cwd or self.platform.home, {**self.env, **(env or {})})

    def api(self, *args):
        return self.platform.api(*args)

    def browser_opens(self, url):
        """The CLI does not wait for its browser."""
        wait_for(f"a browser at {url}", 10, lambda: self.opened.exists() and re.search(url, self.opened.read_text(), re.M))
