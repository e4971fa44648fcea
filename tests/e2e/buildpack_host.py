"""A buildpack of somebody else, served by this machine over plain HTTP."""

import functools
import http.server
import socket
import threading

COMPILE = """#!/bin/bash
# The contract: BUILD_DIR, CACHE_DIR, ENV_DIR; config vars are files and nothing else.
set -eu
[ -f bin/detect ] || { echo "the working directory is $PWD"; exit 1; }
[ -z "${GREETING:-}" ] || { echo "config vars are in the environment"; exit 1; }
[ "$STACK" = heroku-24 ] && [ -n "$SOURCE_VERSION" ] && [ "$HOME" = /app ]
builds=$(($(cat "$2/builds" 2>/dev/null || echo 0) + 1))
echo "$builds" > "$2/builds"
echo "-----> Greeting, build $builds"
mkdir -p "$1/public" "$1/.profile.d"
cat "$3/GREETING" > "$1/public/greeting.txt"
echo 'export FROM_PROFILE="sourced in $PWD"' > "$1/.profile.d/hello.sh"
echo 'export FROM_EXPORT="sourced for the next"' > export
echo "       to standard error" >&2
"""
RELEASE = """#!/bin/bash
cat <<'END'
---
config_vars:
  HELLO_DEFAULT: of the buildpack
default_process_types:
  web: echo "$FROM_PROFILE" > public/profile.txt; exec python3 bin/server.py
END
"""


class BuildpackHost:
    """A web server on this machine's own address, with one git repository that plain HTTP serves."""

    def __init__(self, root):
        self.root = root
        self.root.mkdir()
        self.address = own_address()
        handler = functools.partial(Quiet, directory=str(root))
        self.server = http.server.ThreadingHTTPServer((self.address, 0), handler)
        self.url = f"http://{self.address}:{self.server.server_address[1]}/hello.git"
        self.archive_url = self.url.replace(".git", ".tgz")

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def publish(self, platform):
        """`v1` works; what comes after it on the branch is no buildpack any more."""
        work = platform.home / "hello-buildpack"
        scripts = {"detect": "#!/bin/sh\n[ -f \"$1/hello\" ] && echo Hello\n", "compile": COMPILE, "release": RELEASE}
        for name, text in scripts.items():
            (work / "bin").mkdir(parents=True, exist_ok=True)
            # Not executable: it is made so.
            (work / "bin" / name).write_text(text)
        git = functools.partial(platform.git, cwd=work)
        git("init", "-q", "-b", "main").ends()
        platform.commit(work, "Version 1")
        git("tag", "v1").ends()
        git("archive", "--prefix=hello-1/", "-o", self.root / "hello.tgz", "v1").ends()
        git("rm", "-q", "-r", "bin").ends()
        platform.commit(work, "Taken over")
        git("clone", "-q", "--bare", work, self.root / "hello.git").ends()
        git("--git-dir", self.root / "hello.git", "update-server-info").ends()
        return git("rev-parse", "v1").ends().out.strip()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def own_address():
    """The one that this machine has towards others; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("203.0.113.1", 9))
        return probe.getsockname()[0]
