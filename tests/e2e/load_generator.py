"""load_generator.py PORT HOST: requests through the router until standard input ends, then every record as a JSON line.

A record is [begun, ended, status, label, error]: times on the machine's monotonic clock, status 0 without an answer.
"""

import http.client
import json
import sys
import threading
import time

CLIENTS = 6
# Of each client, between two requests; small enough that requests stand in every step of a change.
PAUSE = 0.03
UPLOAD = bytes(range(256)) * 256
TIMEOUT = 90


class Client(threading.Thread):
    """Every third request on a connection of its own; slow answers, uploads and plain pages by turns."""

    def __init__(self, port, host, over, number):
        super().__init__(daemon=True)
        self.port, self.host, self.over, self.turn = port, host, over, number
        self.connection, self.records = None, []

    def run(self):
        while not self.over.is_set():
            self.turn += 1
            begun = time.monotonic()
            status, label, error = self.attempt()
            self.records.append([begun, time.monotonic(), status, label, error])
            time.sleep(PAUSE)

    def attempt(self):
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
            method, path, body = self.request()
            self.connection.request(method, path, body, {"Host": self.host})
            answer = self.connection.getresponse()
            text = answer.read()
            if answer.will_close or self.turn % 3 == 0:
                self.close()
            return answer.status, text.decode(errors="replace")[:200], None
        except (OSError, http.client.HTTPException) as error:
            self.close()
            return 0, "", f"{method} {path}: {error!r}"

    def request(self):
        if self.turn % 11 == 0:
            return "GET", "/slow", None
        if self.turn % 7 == 0:
            return "POST", "/upload", UPLOAD
        return "GET", "/", None

    def close(self):
        self.connection.close()
        self.connection = None


def main(port, host):
    over = threading.Event()
    clients = [Client(int(port), host, over, number) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    print("!", flush=True)
    sys.stdin.read()
    over.set()
    for client in clients:
        client.join()
        for record in client.records:
            print(json.dumps(record))


main(*sys.argv[1:])
