"""`router`: CPU per request and message, latencies and memory, beside nginx and HAProxy in front of the same dyno.

All are asked in turns. CPU is user and system time of every process of ours that serves traffic, the server as reader of
the router's log among them, and of every process of the peer.

`RENGA_ROUTER_ONLY=PROGRAM` measures the router alone, without a platform and a reader of the log: PROGRAM is the example
`bench` of `crates/router`. `RENGA_ROUTER_ROWS` chooses among the figures, by the names in `FIGURES`.
"""

import contextlib
import os
import pathlib
import re
import resource
import shutil
import socket
import ssl
import subprocess
import tempfile

from bench import Failed, Row, compiled, median, note, spread
from proxies import proxies

ROUNDS = 5
ROUND_SECONDS = 3
CONNECTIONS = 32
# Each waits for a second on the app beside the measured one.
SLOW_CONNECTIONS = 100
IDLE_CONNECTIONS = 10_000
IDLE_KILOBYTES_MAX = 12


def router_bench():
    wanted = os.environ.get("RENGA_ROUTER_ROWS", "").split() or list(FIGURES)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with tempfile.TemporaryDirectory(prefix="renga-bench-") as folder, proxies(pathlib.Path(folder)) as found:
            clients = compiled("clients", pathlib.Path(folder))
            for proxy in found:
                proxy.fresh = proxy.resident()
            return [row for name in wanted for row in FIGURES[name](found, clients)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# === CPU for each of many equal things ===


def small(found, _):
    return [cpu_row(found, "CPU per small request", lambda proxy: wrk(f"http://{proxy.address}/", proxy.host), 1.10)]


def large(found, _):
    return [cpu_row(found, "CPU per answer of 100 kB", lambda proxy: wrk(f"http://{proxy.address}/large", proxy.host), 1.10)]


def tls(found, _):
    return [cpu_row(found, "CPU per small request, TLS 1.3", lambda proxy: wrk(f"https://{proxy.tls}/", proxy.host), 1.10)]


def http2(found, _):
    """On TLS, as browsers do it; ours has it once it offers `h2`."""
    speaking = [proxy for proxy in found if offers_http2(proxy)]
    if found[0] not in speaking or not shutil.which("h2load"):
        note("without HTTP/2: no h2load, or the router does not offer it")
        return []
    return [cpu_row(speaking, "CPU per small request, HTTP/2", h2load, 1.10)]


def connects(found, clients):
    plain = lambda proxy: clients_count(clients, "connect", proxy)  # noqa: E731
    secure = lambda proxy: wrk(f"https://{proxy.tls}/", proxy.host, "Connection: close")  # noqa: E731
    return [
        cpu_row(found, "CPU per new connection with one request", plain),
        cpu_row(found, "CPU per new TLS connection with one request", secure),
    ]


def messages(found, clients):
    return [cpu_row(found, "CPU per WebSocket message there and back", lambda proxy: clients_count(clients, "echo", proxy))]


def cpu_row(found, figure, ask, ratio=None):
    """Microseconds per one of what `ask` counts; the target is nginx's figure times `ratio`."""
    for proxy in found:
        ask(proxy)
    micros = {proxy.name: [] for proxy in found}
    rates = {proxy.name: [] for proxy in found}
    for _ in range(ROUNDS):
        for proxy in found:
            before = proxy.cpu()
            count = ask(proxy)
            micros[proxy.name].append((proxy.cpu() - before) / count * 1e6)
            rates[proxy.name].append(count / ROUND_SECONDS)
    return beside(found, figure, micros, ratio, f"per second {each(rates, 0)}")


def beside(found, figure, values, ratio, more, unit="us"):
    ours, nginx = (median(values[proxy.name]) for proxy in found[:2])
    others = " ".join(f"{proxy.name} {median(values[proxy.name]):.2f};" for proxy in found[2:])
    text = f"{spread(values[found[0].name])}; {others} {more}"
    target = ratio and nginx * ratio
    return Row(f"router: {figure}", ours, unit, target=target, peer=nginx, peer_name="nginx", text=text)


def each(values, digits):
    return ", ".join(f"{name} {median(numbers):.{digits}f}" for name, numbers in values.items())


# === latencies ===


def latency(found, clients):
    """Half of what the slowest of them can do, so that all are asked the same."""
    most = min(wrk(f"http://{proxy.address}/", proxy.host) / ROUND_SECONDS for proxy in found)
    rate = int(most / 2)
    p50, p99 = ({proxy.name: [] for proxy in found} for _ in range(2))
    for _ in range(ROUNDS):
        for proxy in found:
            half, most = percentiles(clients, proxy, rate)
            p50[proxy.name].append(half)
            p99[proxy.name].append(most)
    more = f"at {rate} requests per second, half of the saturation"
    return [beside(found, "p50 of small requests", p50, 1, more), beside(found, "p99 of small requests", p99, 1, more)]


def neighbour(found, clients):
    """The p99 of an app at a quarter of saturation, alone, and while another app keeps its clients waiting."""
    renga = found[0]
    rate = int(wrk(f"http://{renga.address}/", renga.host) / ROUND_SECONDS / 4)
    alone, beside_slow = [], []
    for _ in range(ROUNDS):
        alone.append(percentiles(clients, renga, rate)[1])
        with slow_app(renga):
            beside_slow.append(percentiles(clients, renga, rate)[1])
    text = f"{spread(beside_slow)}; at {rate} requests per second; {SLOW_CONNECTIONS} clients wait for the other app"
    # Both are noisy: what must not be is that one app's second shows in the other's milliseconds.
    figure = "router: p99 of an app beside a slow one"
    return [Row(figure, median(beside_slow), "us", target=2 * median(alone) + 1_000, peer=median(alone), peer_name="alone", text=text)]


@contextlib.contextmanager
def slow_app(proxy):
    command = wrk_command(f"http://{proxy.address}/slow", proxy.slow_host, SLOW_CONNECTIONS, ROUND_SECONDS + 2)
    waiting = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield
    finally:
        check_wrk(waiting.communicate()[0])


def percentiles(clients, proxy, rate):
    """p50 and p99 in microseconds."""
    words = ["rate", proxy.address, proxy.host, "/", str(rate), str(ROUND_SECONDS), str(CONNECTIONS)]
    _, p50, p99, _ = map(int, run([clients, *words]).split())
    return p50, p99


# === memory ===


def memory(found, _):
    """Plain first: TLS needs more, so that what the first lot has left behind hides nothing of the second."""
    rows = []
    for words, secure in (("plain", False), ("TLS", True)):
        kilobytes = {proxy.name: [idle_kilobytes(proxy, secure)] for proxy in found}
        figure = f"memory per idle connection, {words}, of {IDLE_CONNECTIONS:,}"
        row = beside(found, figure, kilobytes, None, "all that the process has grown by since its start", unit="kB")
        row.target = IDLE_KILOBYTES_MAX
        rows.append(row)
    return rows


def idle_kilobytes(proxy, secure):
    """Each has had one answer. All are held to the end, and some are asked once more."""
    context = ssl._create_unverified_context() if secure else None
    request = f"GET / HTTP/1.1\r\nHost: {proxy.host}\r\n\r\n".encode()
    host, port = (proxy.tls if secure else proxy.address).split(":")
    with contextlib.ExitStack() as stack:
        held = []
        for _ in range(IDLE_CONNECTIONS):
            client = stack.enter_context(socket.create_connection((host, int(port)), timeout=10))
            held.append(stack.enter_context(context.wrap_socket(client)) if secure else client)
            answered(held[-1], request)
        grown = proxy.resident() - proxy.fresh
        for client in held[:: IDLE_CONNECTIONS // 100]:
            answered(client, request)
    return grown / IDLE_CONNECTIONS


def answered(client, request):
    client.sendall(request)
    answer = b""
    while not answer.endswith(b"hello, world"):
        read = client.recv(4096)
        if not read or not answer + read or b" 200 " not in (answer + read)[:16]:
            raise Failed(f"no answer: {answer + read!r}")
        answer += read


# === programs that ask ===


def wrk(url, host, *headers):
    """Requests that were answered with 200, all of them."""
    text = run(wrk_command(url, host, CONNECTIONS, ROUND_SECONDS, *headers))
    # The end of a connection that was asked for is no error.
    return check_wrk(re.sub(r"read \d+", "", text) if headers else text)


def wrk_command(url, host, connections, seconds, *headers):
    words = [word for header in (f"Host: {host}", *headers) for word in ("-H", header)]
    return ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", *words, url]


def check_wrk(text):
    if re.search(r"Non-2xx|Socket errors: .*[1-9]", text):
        raise Failed(text)
    return int(re.search(r"(\d+) requests in", text)[1])


def h2load(proxy):
    host, port = proxy.host, proxy.tls.split(":")[1]
    words = ["-c8", "-m4", "-t1", f"-D{ROUND_SECONDS}", f"--connect-to={proxy.tls}", f"https://{host}:{port}/"]
    text = run(["h2load", *words])
    count = re.search(r"(\d+) succeeded, 0 failed, 0 errored, 0 timeout", text)
    if not count or "Application protocol: h2" not in text:
        raise Failed(text)
    return int(count[1])


def offers_http2(proxy):
    context = ssl._create_unverified_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    host, port = proxy.tls.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname=proxy.host) as client:
            return client.selected_alpn_protocol() == "h2"


def clients_count(clients, kind, proxy):
    return int(run([clients, kind, proxy.address, proxy.host, str(ROUND_SECONDS), str(CONNECTIONS)]))


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"{command[0]} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


FIGURES = {
    "small": small,
    "large": large,
    "tls": tls,
    "http2": http2,
    "connects": connects,
    "messages": messages,
    "latency": latency,
    "neighbour": neighbour,
    "memory": memory,
}
