"""`api`: the Platform API's answers at 1,000 apps with 20 releases each, asked by 32 clients at once."""

import json
import os
import pathlib
import subprocess
import time

from bench import Row, bare_app, bench_platform, compiled, cpu_seconds, median, ms, note, pss_megabytes

APPS = 1000
RELEASES = 20
# The first two of every app, and the deploy.
RELEASES_OF_BIRTH = 3
CLIENTS = 32
# Of each client and kind; the first ones warm caches and connections and are not counted.
ASKED = 250
WARMING = 5
READ_MS = 10
WRITE_MS = 30
MEGABYTES = 120
SYNCS = 200


def api_bench():
    with bench_platform() as platform:
        load = Load(platform)
        begin = time.monotonic()
        populate(platform, load)
        note(f"{APPS} apps with {RELEASES} releases each in {time.monotonic() - begin:.0f} s")
        settle(platform)
        after_birth = pss_megabytes(platform.role_pids()["server"])
        platform.stop()
        platform.start()
        settle(platform)
        kinds = {
            "GET /apps": lambda client, n: ("GET", "/apps", None),
            "GET /apps/x": lambda client, n: ("GET", f"/apps/{name(app_of(client, n))}", None),
            "PATCH config-vars": lambda client, n: ("PATCH", f"/apps/{name(app_of(client, n))}/config-vars", {"ROUND": f"{client}-{n}"}),
            "PATCH formation": lambda client, n: ("PATCH", f"/apps/{name(app_of(client, n))}/formation", other_size(n)),
        }
        syncs = sync_times(platform.data)
        rows = []
        for kind, ask in kinds.items():
            load.run("warm", lambda client: [ask(client, n) for n in range(WARMING)])
            told = load.run("asked", lambda client: [ask(client, n) for n in range(WARMING, WARMING + ASKED)])
            target = READ_MS if kind.startswith("GET") else WRITE_MS
            remark = f"p50 {told['p50']:.1f}, longest {told['max']:.1f}; {told['count']} requests, {told['rate']:.0f}/s, {told['bytes']} bytes each"
            rows.append(Row(f"api: {kind}, {CLIENTS} clients without a pause, p99", told["p99"], "ms", target=target, text=remark))
        memory = pss_megabytes(platform.role_pids()["server"])
    rows.append(
        Row("api: PSS of the server after that", memory, "MB", target=MEGABYTES, text=f"{after_birth:.0f} when it had made the apps")
    )
    rows.append(Row("api: fsync of 4 KiB on this disk", median(syncs), "ms", text=f"p99 {sorted(syncs)[len(syncs) * 99 // 100]:.2f}"))
    return rows


def name(app):
    return f"bench-{app:04}"


def app_of(client, n):
    """Clients keep to apps of their own, and go around in them."""
    mine = range(client, APPS, CLIENTS)
    return mine[n % len(mine)]


def other_size(n):
    """Each round through the apps changes every row."""
    around = n * CLIENTS // APPS
    return {"updates": [{"type": "clock", "size": ["standard-1x", "standard-2x"][around % 2]}]}


def populate(platform, load):
    """Real rows, made through the API: apps that run the first one's slug, with no dynos of it."""
    first = bare_app(platform, name(0), "clock: bin/clock\n", "clock")
    slug = next(release["slug"]["id"] for release in platform.api.call("GET", f"/apps/{first}/releases") if release["slug"])

    def birth(client):
        for app in range(client, APPS, CLIENTS):
            if app > 0:
                yield "POST", "/apps", {"name": name(app)}
                yield "POST", f"/apps/{name(app)}/releases", {"slug": slug}
            for n in range(RELEASES - RELEASES_OF_BIRTH):
                yield "PATCH", f"/apps/{name(app)}/config-vars", {f"KEY_{n}": f"value {n} of {app}"}

    told = load.run("birth", birth)
    note(f"{told['count']} requests, {told['rate']:.0f}/s, p99 {told['p99']:.0f} ms")


def settle(platform):
    """Until the server has done what follows a request, or begins a life."""
    pid, before = platform.role_pids()["server"], -1.0
    while (now := cpu_seconds(pid)) - before > 0.05:
        before = now
        time.sleep(1)


def sync_times(folder):
    path, taken = pathlib.Path(folder) / "sync-probe", []
    with path.open("wb") as file:
        for _ in range(SYNCS):
            file.write(bytes(4096))
            file.flush()
            begin = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append(ms(time.perf_counter() - begin))
    path.unlink()
    return taken


class Load:
    """The driver with its clients, each with a token of its own: the pool of requests is a token's."""

    def __init__(self, platform):
        self.platform = platform
        self.program = compiled("load", platform.home / "load")
        self.tokens = platform.home / "tokens"
        body = {"description": "bench", "scope": ["global"]}
        made = [platform.api.call("POST", "/oauth/authorizations", body)["access_token"]["token"] for _ in range(CLIENTS)]
        self.tokens.write_text("".join(f"{token}\n" for token in made))

    def run(self, kind, requests_of):
        plan = self.platform.home / "plan"
        with plan.open("w") as file:
            for client in range(CLIENTS):
                for method, path, body in requests_of(client):
                    file.write(f"{client}\t{kind}\t{method}\t{path}\t{'' if body is None else json.dumps(body)}\n")
        words = [self.program, self.platform.api.host, self.tokens, plan]
        lines = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()
        seconds = float(lines[-1].split()[1])
        _, count, p50, p99, longest, size = lines[0].split()
        return {
            "count": int(count),
            "p50": int(p50) / 1000,
            "p99": int(p99) / 1000,
            "max": int(longest) / 1000,
            "bytes": int(size),
            "rate": int(count) / seconds,
        }
