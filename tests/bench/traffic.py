"""`router`: CPU per proxied request, against nginx in front of the same dyno, in turns."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile

from bench import Failed, Row, bare_app, bench_platform, cpu_seconds, median, note, spread, wait_for

ROUNDS = 5
ROUND_SECONDS = 5
CONNECTIONS = 32
# Connections to the dyno that nginx keeps; more than there are clients, as with ours.
KEPT = 64

# The same work as the router's: the headers that Heroku sets, and a line per request with the same facts.
NGINX = """
worker_processes {workers};
pid {home}/nginx.pid;
error_log {home}/error.log;
daemon off;
events {{ worker_connections 1024; }}
http {{
    log_format router 'at=info method=$request_method path="$request_uri" host=$host request_id=$request_id '
        'fwd="$remote_addr" dyno=web.1 connect=$upstream_connect_time service=$upstream_response_time status=$status '
        'bytes=$bytes_sent protocol=$server_protocol tls=false';
    access_log {home}/access.log router;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    keepalive_requests 1000000;
    upstream dyno {{ server {dyno}; keepalive {kept}; keepalive_requests 1000000; }}
    server {{
        listen 127.0.0.1:{port} reuseport;
        location / {{
            proxy_pass http://dyno;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Port $server_port;
            proxy_set_header X-Request-Start $msec;
            proxy_set_header X-Request-Id $request_id;
            proxy_set_header Via "1.1 nginx";
            add_header Via "1.1 nginx";
        }}
    }}
}}
"""


def router_bench():
    with bench_platform() as platform:
        app = bare_app(platform, "bench-hello", "web: bin/hello\n", "hello")
        wait_for("the app's answer", 30, lambda: platform.get(app)[0] == 200)
        host = f"{app}.{platform.endpoints['domain']}"
        with Nginx(dyno_address(platform, host)) as nginx:
            router, logs, peer, rates = measure(platform, host, nginx)
    both = [a + b for a, b in zip(router, logs)]
    note(f"requests per second, ours and nginx in turns: {' '.join(rates)}")
    return [
        Row("router: CPU per request, router process", median(router), "us", peer=median(peer), peer_name="nginx", text=spread(router)),
        Row("router: the same with the server that reads its log", median(both), "us", peer=median(peer), peer_name="nginx", text=spread(both)),
    ]


def measure(platform, host, nginx):
    """Microseconds of CPU per request, a list over the rounds each: router, server meanwhile, nginx."""
    pids = platform.role_pids()
    port = platform.endpoints["router"].rsplit(":", 1)[1]
    router, logs, peer, rates = [], [], [], []
    wrk(port, host, seconds=1)
    wrk(nginx.port, host, seconds=1)
    for _ in range(ROUNDS):
        before = [cpu_seconds(pids[role]) for role in ("router", "server")]
        requests = wrk(port, host)
        after = [cpu_seconds(pids[role]) for role in ("router", "server")]
        router.append((after[0] - before[0]) / requests * 1e6)
        logs.append((after[1] - before[1]) / requests * 1e6)
        before = nginx.cpu()
        theirs = wrk(nginx.port, host)
        peer.append((nginx.cpu() - before) / theirs * 1e6)
        rates.append(f"{requests / ROUND_SECONDS:.0f}/{theirs / ROUND_SECONDS:.0f}")
    return router, logs, peer, rates


def wrk(port, host, seconds=ROUND_SECONDS):
    """Requests that were answered with 200, all of them."""
    done = subprocess.run(
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-H", f"Host: {host}", f"http://127.0.0.1:{port}/"],
        check=True,
        capture_output=True,
        text=True,
    )
    if re.search(r"Non-2xx|Socket errors", done.stdout):
        raise Failed(done.stdout)
    return int(re.search(r"(\d+) requests in", done.stdout)[1])


def dyno_address(platform, host):
    """Where the router sends the app's requests, from its own table, which it writes down at most once a second."""

    def look():
        table = json.loads((platform.data / "router/table.json").read_text())
        app = next((app for app in table["apps"] if host in app["hosts"]), {"dynos": []})
        return app["dynos"] and app["dynos"][0]["address"]

    return wait_for("the dyno in the router's table", 10, look)


class Nginx:
    def __init__(self, dyno):
        self.dyno = dyno

    def __enter__(self):
        self.home = tempfile.TemporaryDirectory(prefix="renga-bench-nginx-")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        config = pathlib.Path(self.home.name) / "nginx.conf"
        workers = len(os.sched_getaffinity(0))
        config.write_text(NGINX.format(home=self.home.name, port=self.port, dyno=self.dyno, workers=workers, kept=KEPT))
        os.chmod(self.home.name, 0o755)
        self.process = subprocess.Popen(["nginx", "-p", self.home.name, "-c", config, "-e", f"{self.home.name}/error.log"])
        wait_for("nginx", 10, self._answers)
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        self.pids = [self.process.pid, *map(int, children.read_text().split())]
        return self

    def _answers(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def cpu(self):
        return sum(map(cpu_seconds, self.pids))

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)
        self.home.cleanup()
