"""Inside the guest: runs what the test outside asks for, one command a connection, and answers with what came of it."""

import json
import os
import socketserver
import subprocess

PORT = 9000


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        ask = json.loads(self.rfile.readline())
        self.wfile.write(json.dumps(self.run(ask)).encode() + b"\n")

    def run(self, ask):
        try:
            done = subprocess.run(
                ask["argv"], input=ask["stdin"].encode(), capture_output=True, timeout=ask["timeout"], env={**os.environ, **ask["env"]}
            )
        except (OSError, subprocess.TimeoutExpired) as failed:
            out = getattr(failed, "stdout", None) or b""
            return {"code": 255, "out": out.decode(errors="replace"), "err": str(failed)}
        return {"code": done.returncode, "out": done.stdout.decode(errors="replace"), "err": done.stderr.decode(errors="replace")}


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


Server(("0.0.0.0", PORT), Handler).serve_forever()
