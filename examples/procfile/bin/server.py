"""Serves public/ on $PORT, IPv4 and IPv6, and ends at once when it is asked to."""

import functools
import http.server
import os
import signal
import socket
import sys


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory="public")
    port = int(os.environ.get("PORT", "5000"))
    with Server(("::", port), handler) as server:
        print(f"listening on {port}", flush=True)
        server.serve_forever()


main()
