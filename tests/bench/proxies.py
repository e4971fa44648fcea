"""What stands in front of the dyno in the router bench: Renga (a platform's router, or one alone), nginx, HAProxy.

Each sets Heroku's headers and writes a line per request. Each has an `address` for plain HTTP, a `tls` one, and `cpu()`,
the seconds that its processes have spent so far.
"""

import contextlib
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import tempfile

from bench import Failed, bare_app, bench_platform, compiled, cpu_seconds, note, wait_for
from platform_under_test import free_ports

# Connections to the dyno that nginx keeps; more than there are clients, as with ours.
KEPT = 512
# Clients of the bench, idle ones included, and a reserve.
CONNECTIONS_MAX = 12_000

# The same work as the router's: the headers that Heroku sets, and a line per request with the same facts. `Connection`
# depends on the request, so that upgrades pass.
NGINX = """
worker_processes {workers};
worker_rlimit_nofile {files};
pid {home}/nginx.pid;
error_log {home}/error.log;
daemon off;
events {{ worker_connections {connections}; }}
http {{
    log_format router 'at=info method=$request_method path="$request_uri" host=$host request_id=$request_id '
        'fwd="$remote_addr" dyno=web.1 connect=$upstream_connect_time service=$upstream_response_time status=$status '
        'bytes=$bytes_sent protocol=$server_protocol tls=$https tls_version=$ssl_protocol';
    access_log {home}/access.log router;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    keepalive_requests 1000000;
    map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
    upstream dyno {{ server {dyno}; keepalive {kept}; keepalive_requests 1000000; }}
    server {{
        listen 127.0.0.1:{plain} reuseport backlog=4096;
        listen 127.0.0.1:{tls} ssl http2 reuseport backlog=4096;
        ssl_certificate {home}/certificate.pem;
        ssl_certificate_key {home}/key.pem;
        ssl_protocols TLSv1.2 TLSv1.3;
        location / {{
            proxy_pass http://dyno;
            proxy_http_version 1.1;
            # 100 kB fit: with less, answers would go through a file.
            proxy_buffers 16 16k;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
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

# Likewise. Its log goes to standard output, a write per request, as nginx's to its file.
HAPROXY = """
global
    nbthread {workers}
    maxconn {connections}
    # It wants two descriptors for each connection, which the idle ones do not need.
    no strict-limits
    log stdout len 2048 format raw local3
defaults
    mode http
    log global
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout tunnel 60s
    timeout http-keep-alive 600s
    http-reuse always
    option forwardfor
    unique-id-format %[uuid()]
    unique-id-header X-Request-Id
    log-format 'at=info method=%HM path="%HU" host=%[capture.req.hdr(0)] request_id=%ID fwd="%ci" dyno=web.1 connect=%Tc \
service=%Tr status=%ST bytes=%B protocol=%HV tls=%[ssl_fc] tls_version=%sslv'
frontend door
    bind 127.0.0.1:{plain} backlog 4096
    bind 127.0.0.1:{tls} backlog 4096 ssl crt {home}/both.pem alpn h2,http/1.1
    http-request capture req.hdr(Host) len 64
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}
    http-request set-header X-Forwarded-Port %[dst_port]
    http-request set-header X-Request-Start %[date(0,ms)]
    http-request add-header Via "1.1 haproxy"
    http-response add-header Via "1.1 haproxy"
    default_backend dyno
backend dyno
    server web.1 {dyno} maxconn {connections} pool-max-conn {kept}
"""


@contextlib.contextmanager
def proxies(folder):
    """Ours first, then nginx, then HAProxy where it runs; all with the same dyno behind them."""
    alone = os.environ.get("RENGA_ROUTER_ONLY")
    with contextlib.ExitStack() as stack:
        renga = stack.enter_context(Alone(alone, folder) if alone else Ours())
        found = [renga, stack.enter_context(Nginx(renga.dyno))]
        try:
            found.append(stack.enter_context(Haproxy(renga.dyno)))
        except (OSError, Failed) as why:
            note(f"without HAProxy: {why}")
        yield found


class Proxy:
    """Requests of these hosts reach the dyno; the second is another app's, where there are apps."""

    host = slow_host = "app.localhost"

    def cpu(self):
        return sum(map(cpu_seconds, self.pids))

    def resident(self):
        """Kilobytes of memory that the processes hold."""
        texts = (pathlib.Path(f"/proc/{pid}/status").read_text() for pid in self.pids)
        return sum(int(text.split("VmRSS:")[1].split()[0]) for text in texts)


class Ours(Proxy):
    """A whole platform: the router, and the server, which reads the router's log."""

    name = "renga"

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            platform = self.platform = stack.enter_context(bench_platform())
            self.host, self.slow_host = (self.deployed(f"bench-{name}") for name in ("hello", "slow"))
            self.address, self.tls = (platform.endpoints[role].rsplit("/", 1)[1] for role in ("router", "router_tls"))
            self.dyno = self.dyno_address()
            roles = platform.role_pids()
            self.pids, self.router_pids = [roles["router"], roles["server"]], [roles["router"]]
            self.stack = stack.pop_all()
        return self

    def deployed(self, name):
        app = bare_app(self.platform, name, "web: bin/hello\n", "hello")
        wait_for("the app's answer", 30, lambda: self.platform.get(app)[0] == 200)
        return f"{app}.{self.platform.endpoints['domain']}"

    def dyno_address(self):
        """Where the router sends the app's requests, from its own table, which it writes down at most once a second."""

        def look():
            table = json.loads((self.platform.data / "router/table.json").read_text())
            app = next((app for app in table["apps"] if self.host in app["hosts"]), {"dynos": []})
            return app["dynos"] and app["dynos"][0]["address"]

        return wait_for("the dyno in the router's table", 10, look)

    def resident(self):
        """Connections of clients are the router's alone."""
        pids, self.pids = self.pids, self.router_pids
        try:
            return super().resident()
        finally:
            self.pids = pids

    def __exit__(self, *ended):
        return self.stack.__exit__(*ended)


class Alone(Proxy):
    """The example `bench` of the router's crate and a dyno of our own: no platform, nobody who reads the log."""

    name, slow_host = "renga (router alone)", "slow.localhost"

    def __init__(self, program, folder):
        self.program, self.backend = program, compiled("hello", folder)

    def __enter__(self):
        dyno, port = free_ports(2)
        self.dyno = f"127.0.0.1:{dyno}"
        self.address = self.tls = f"127.0.0.1:{port}"
        self.processes = [subprocess.Popen([self.backend], env={"PORT": str(dyno)})]
        self.processes.append(subprocess.Popen([self.program, self.address, self.dyno, str(cores())]))
        self.pids = [self.processes[1].pid]
        wait_for("the router", 10, lambda: accepts(self.address) and accepts(self.dyno))
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGINT)
            process.wait(10)


class Peer(Proxy):
    """A program of the distribution with a configuration in a folder of its own."""

    def __init__(self, dyno):
        self.dyno = dyno

    def __enter__(self):
        if not shutil.which(self.program):
            raise Failed(f"there is no {self.program}")
        self.home = tempfile.TemporaryDirectory(prefix=f"renga-bench-{self.program}-")
        home = pathlib.Path(self.home.name)
        home.chmod(0o755)
        self.certify(home)
        plain, tls = free_ports(2)
        self.address, self.tls = f"127.0.0.1:{plain}", f"127.0.0.1:{tls}"
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        limits = {"connections": CONNECTIONS_MAX, "files": files, "workers": cores(), "kept": KEPT}
        config = home / "config"
        config.write_text(self.config.format(home=home, plain=plain, tls=tls, dyno=self.dyno, **limits))
        with open(home / "output", "wb") as output:
            self.process = subprocess.Popen(self.command(home, config), stdout=output, stderr=subprocess.STDOUT)
        try:
            wait_for(self.program, 10, self.answers)
        except Failed:
            self.__exit__()
            raise
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        self.pids = [self.process.pid, *map(int, children.read_text().split())]
        return self

    def certify(self, home):
        """A key as our own certificates have: P-256."""
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        files = ["-keyout", home / "key.pem", "-out", home / "certificate.pem", "-subj", "/CN=app.localhost"]
        subprocess.run(command + files, check=True, capture_output=True)
        (home / "both.pem").write_text((home / "certificate.pem").read_text() + (home / "key.pem").read_text())

    def answers(self):
        if self.process.poll() is not None:
            text = (pathlib.Path(self.home.name) / "output").read_text(errors="replace")
            raise Failed(f"{self.program} ended: {text[-600:]}")
        return accepts(self.address)

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)
        self.home.cleanup()


class Nginx(Peer):
    name = program = "nginx"
    config = NGINX

    def command(self, home, config):
        return ["nginx", "-p", home, "-c", config, "-e", home / "error.log"]


class Haproxy(Peer):
    name = program = "haproxy"
    config = HAPROXY

    def command(self, home, config):
        return ["haproxy", "-db", "-f", config]


def cores():
    return len(os.sched_getaffinity(0))


def accepts(address):
    host, port = address.split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0
