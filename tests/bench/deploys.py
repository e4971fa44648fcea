"""`push` and `rollback`: from the order to the first answer of the code that was ordered."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

from bench import Failed, Row, bench_platform, compiled, median, moment, note, push, push_through, spread

REPETITIONS = 5
# How often the router is asked for the new version. More often would take time from the app that boots.
ASK_EVERY_SECONDS = 0.03
ANSWER_SECONDS_MAX = 60

# Names of the spans of a push, in their order, with what ends each.
SPANS = [
    ("git, until the build's row stands", "build"),
    ("the build dyno, until its first line", "builder_begins"),
    ("build steps in the dyno", "builder_ends"),
    ("pack and release", "release"),
    ("web dyno decided", "starting"),
    ("its port answers", "up"),
    ("first 200 of the new version", "answered"),
]


def deployed(platform):
    """The sample app, serving; returns its name and its repository."""
    repository = platform.repository("django")
    compiled("boot", repository / "bin")
    set_version(platform, repository, 0)
    app = platform.app("bench-django", repository)
    begin = time.time()
    push_through(platform, repository, app)
    note(f"first push, with all dependencies: {time.time() - begin:.1f} s")
    await_version(platform, app, 0)
    return app, repository


def set_version(platform, repository, version):
    """A changed source file; the page says which."""
    page = repository / "hello/templates/hello/index.html"
    text = re.sub(r"<!-- version \d+ -->\n", "", page.read_text())
    head, block, rest = text.partition("{% block content %}\n")
    page.write_text(f"{head}{block}<!-- version {version} -->\n{rest}" if block else f"{text}<!-- version {version} -->\n")
    platform.commit(repository, f"Version {version}")


def await_version(platform, app, version):
    """The moment of the first 200 that says the version."""
    deadline = time.monotonic() + ANSWER_SECONDS_MAX
    while time.monotonic() < deadline:
        status, page = platform.get(app, tls=False, headers={"X-Bench": "1"})
        if status == 200 and f"<!-- version {version} -->" in page:
            return time.time()
        if status not in (200, 301):
            raise Failed(f"{app} answered {status}:\n{page}")
        time.sleep(ASK_EVERY_SECONDS)
    raise Failed(f"version {version} of {app} does not answer")


def boots(platform, app):
    """Seconds from the start of the app's own command to its first 200, alone in a one-off dyno."""
    command = "bin/boot gunicorn getting_started.wsgi"
    seconds = []
    for _ in range(REPETITIONS):
        begin = time.time()
        platform.api.call("POST", f"/apps/{app}/dynos", {"command": command})
        _, said = platform.api.wait_for_line(app, r"app\[run\.\d+\]", r"boot-ms=(\d+)", begin)
        seconds.append(int(said[1]) / 1000)
    return seconds


# === push ===


def one_push(platform, repository, app, version):
    """The moments of one push, in seconds of the wall clock."""
    set_version(platform, repository, version)
    at, asking = {"begin": time.time()}, None
    with ThreadPoolExecutor(1) as aside:
        for chunks in push(platform, repository, app):
            if asking is None and "Launching..." in chunks[-1][1]:
                asking = aside.submit(await_version, platform, app, version)
        at["git_ends"] = time.time()
        at["answered"] = asking.result()
    at["builder_begins"] = moment(chunks, r"-----> Building on the")
    at["builder_ends"] = moment(chunks, r"Procfile declares types")
    log = [line for line in platform.api.log(app) if line[0] >= at["begin"]]
    at["build"] = first(log, "app[api]", "Build started")
    at["release"] = first(log, "app[api]", "Release v")
    at["starting"] = first(log, "heroku[web.1]", "to starting")
    at["up"] = first(log, "heroku[web.1]", "from starting to up")
    return at


def first(log, name, text):
    return next(at for at, source, line in log if source == name and text in line)


def push_bench():
    with bench_platform() as platform:
        app, repository = deployed(platform)
        pushes = []
        for version in range(1, REPETITIONS + 1):
            pushes.append(one_push(platform, repository, app, version))
            note(f"push {version}: {pushes[-1]['answered'] - pushes[-1]['begin']:.2f} s")
            time.sleep(1)  # The old dyno leaves; a person would not push sooner either.
        boot = median(boots(platform, app))
    return push_rows(pushes, boot)


def push_rows(pushes, boot):
    total = [at["answered"] - at["begin"] for at in pushes]
    steps = [at["builder_ends"] - at["builder_begins"] for at in pushes]
    rest = [whole - inside - boot for whole, inside in zip(total, steps)]
    rows = [
        Row("push: `git push` to the first 200", median(total), "s", target=4.0, text=spread(total)),
        Row("push: build steps inside the dyno", median(steps), "s", text=spread(steps)),
        Row("push: app boot, alone in a dyno", boot, "s"),
        Row("push: the rest", median(rest), "s", target=1.5, text=spread(rest)),
    ]
    before = "begin"
    for what, name in SPANS:
        span = [at[name] - at[before] for at in pushes]
        rows.append(Row(f"push:   {what}", median(span), "s", text=spread(span)))
        before = name
    ends = [at["git_ends"] - at["answered"] for at in pushes]
    rows.append(Row("push:   the end of git, counted from there", median(ends), "s", text=spread(ends)))
    return rows


# === rollback ===


def rollback_bench():
    with bench_platform() as platform:
        app, repository = deployed(platform)
        set_version(platform, repository, 1)
        push_through(platform, repository, app)
        await_version(platform, app, 1)
        slugs = [release for release in platform.api.call("GET", f"/apps/{app}/releases") if release["slug"]]
        spans = []
        for n in range(REPETITIONS):
            version = n % 2
            time.sleep(1)  # The old dyno leaves.
            begin = time.time()
            platform.api.call("POST", f"/apps/{app}/releases", {"release": slugs[version]["id"]})
            spans.append(await_version(platform, app, version) - begin)
        boot = median(boots(platform, app))
    rest = [span - boot for span in spans]
    return [
        Row("rollback: order to the first 200 of the old version", median(spans), "s", text=spread(spans)),
        Row("rollback: app boot, alone in a dyno", boot, "s"),
        Row("rollback: without the app's boot", median(rest), "s", target=0.3, text=spread(rest)),
    ]
