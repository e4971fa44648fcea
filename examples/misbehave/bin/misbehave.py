"""Everything an app can do wrong, one at a time, so that a platform can show what it does about it.

Called with a process type of the Procfile; numbers come from config vars:

    web       well-behaved by default; MISBEHAVE changes that:
                never-bind   runs, but never listens (R10)
                localhost    listens, but only on 127.0.0.1 (R10)
                crash        exits before it listens (H10)
                slow-boot    listens after BOOT_SECONDS
              and by path, whatever MISBEHAVE says:
                /slow?SECONDS  answers late (H12)
                /drop          closes without an answer (H13)
                /half          announces more than it sends (H18)
                /exit?CODE     ends the process
                /memory?MB     keeps that much
                /disk?MB       writes that much
    crash     exits with EXIT_CODE after LIFE_SECONDS
    hang      stops doing anything, but ends on SIGTERM
    stubborn  ignores SIGTERM (R12)
    memory    grows to MEMORY_MB and stays (R14, R15)
    disk      fills DISK_MB and stays
    fork      starts processes until it may not
    chatter   writes LINES lines a second (L10)
"""

import http.server
import os
import signal
import socket
import sys
import time

MB = 1024 * 1024
kept = []


def number(name, default):
    return float(os.environ.get(name, default))


def say(text):
    print(text, flush=True)


def stay():
    while True:
        signal.pause()


# === web ===


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path, _, argument = self.path.partition("?")
        act = {
            "/slow": self.slow,
            "/drop": self.drop,
            "/half": self.half,
            "/exit": self.exit,
            "/memory": self.memory,
            "/disk": self.disk,
        }.get(path, self.well)
        act(argument)

    def answer(self, text):
        body = f"{text}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def well(self, _):
        self.answer(f"{os.environ.get('DYNO', 'no dyno')} is well")

    def slow(self, seconds):
        time.sleep(float(seconds or 35))
        self.answer("at last")

    def drop(self, _):
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def half(self, _):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"x" * 500)
        self.close_connection = True

    def exit(self, code):
        os._exit(int(code or 1))

    def memory(self, megabytes):
        take_memory(int(megabytes or 100))
        self.answer(f"keeping {sum(map(len, kept)) // MB} MB")

    def disk(self, megabytes):
        self.answer(write_disk(int(megabytes or 100)))

    def log_message(self, format, *arguments):
        say(f"{self.command} {self.path}")


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True


def web():
    way = os.environ.get("MISBEHAVE", "")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if way == "crash":
        say("crashing before listening")
        sys.exit(int(number("EXIT_CODE", 1)))
    if way == "never-bind":
        say("not listening")
        stay()
    if way == "slow-boot":
        time.sleep(number("BOOT_SECONDS", 30))
    if way == "localhost":
        Server.address_family = socket.AF_INET
    host = "127.0.0.1" if way == "localhost" else "::"
    port = int(os.environ.get("PORT", "5000"))
    with Server((host, port), Handler) as server:
        say(f"listening on {host} {port}")
        server.serve_forever()


# === The others ===


def crash():
    time.sleep(number("LIFE_SECONDS", 1))
    say("crashing")
    sys.exit(int(number("EXIT_CODE", 1)))


def hang():
    say("hanging")
    stay()


def stubborn():
    signal.signal(signal.SIGTERM, lambda *_: say("ignoring SIGTERM"))
    say("started")
    stay()


def take_memory(megabytes):
    # Written to, a page at a time: memory that is only asked for is not used.
    block = bytearray(megabytes * MB)
    block[::4096] = b"x" * len(block[::4096])
    kept.append(block)


def memory():
    for used in range(10, int(number("MEMORY_MB", 2048)) + 1, 10):
        take_memory(10)
        say(f"using {used} MB")
    stay()


def write_disk(megabytes):
    block = os.urandom(MB)
    written = 0
    try:
        with open("/tmp/filler", "ab") as file:
            for _ in range(megabytes):
                file.write(block)
                file.flush()
                written += 1
    except OSError as error:
        return f"wrote {written} MB, then: {error.strerror}"
    return f"wrote {written} MB"


def disk():
    say(write_disk(int(number("DISK_MB", 1_000_000))))
    stay()


def fork():
    count = 0
    try:
        while True:
            if os.fork() == 0:
                signal.pause()
                os._exit(0)
            count += 1
    except OSError as error:
        say(f"{count} processes, then: {error.strerror}")
    stay()


def chatter():
    rate = number("LINES", 1000)
    begin, count = time.monotonic(), 0
    while True:
        count += 1
        print(f"line {count}", flush=count % 100 == 0)
        ahead = count / rate - (time.monotonic() - begin)
        if ahead > 0.05:
            sys.stdout.flush()
            time.sleep(ahead)


TYPES = {act.__name__: act for act in (web, crash, hang, stubborn, memory, disk, fork, chatter)}

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in TYPES:
        sys.exit(__doc__)
    TYPES[sys.argv[1]]()
