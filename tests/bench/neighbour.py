"""`neighbour`: how an app answers while a dyno beside it does its worst, against how it answers alone."""

import http.client
import re
import time

from bench import Failed, Row, bare_app, bench_platform, median, ms, note, wait_for

ROUNDS = 3
REQUESTS = 400
# A client that comes now and then sees what the machine does to it; one that never stops sees its own queue.
REQUEST_EVERY_S = 0.01
# Until a bomb has gone off.
WARM_UP_S = 3
TARGET_RATIO = 2

BOMBS = {
    "fork": ("a fork bomb", "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass\n"),
    "memory": ("a memory bomb", "while True:\n    x = bytearray(b'x') * (950 << 20)\n    del x\n"),
    "disk": (
        "a disk filler",
        "import os\nwhile True:\n    try:\n        with open('/tmp/f', 'wb', buffering=0) as f:\n            while True: f.write(b'x' * 1048576)\n"
        "    except OSError: os.unlink('/tmp/f')\n",
    ),
    "flood": ("a log flood", "import sys\nblock = 'a line of a flood\\n' * 10000\nwhile True: sys.stdout.write(block)\n"),
}


def neighbour_bench():
    with bench_platform() as platform:
        quiet = bare_app(platform, "bench-quiet", "web: bin/hello\n", "hello")
        # The programs come as arguments: the app is nothing but its Procfile.
        lines = [f"{name}: python3 -c 'exec(bytes.fromhex(\"{text.encode().hex()}\"))'" for name, (_, text) in BOMBS.items()]
        bombs = bare_app(platform, "bench-bombs", "\n".join(lines) + "\n")
        wait_for("the app's answer", 30, lambda: platform.get(quiet)[0] == 200)
        p99(platform, quiet)
        return [row(platform, quiet, bombs, name, says) for name, (says, _) in BOMBS.items()]


def row(platform, quiet, bombs, name, says):
    alone, beside = [], []
    for _ in range(ROUNDS):
        alone.append(p99(platform, quiet))
        platform.scale(bombs, **{name: 1})
        time.sleep(WARM_UP_S)
        beside.append(p99(platform, quiet))
        platform.scale(bombs, **{name: 0})
        wait_for("the bomb's end", 60, lambda: not platform.api.call("GET", f"/apps/{bombs}/dynos"))
    ours, theirs = median(beside), median(alone)
    shown = " ".join(f"{ms(with_it):.1f}/{ms(without):.1f}" for with_it, without in zip(beside, alone))
    note(f"{says}: p99 of the neighbour with and without, ms: {shown}")
    return Row(f"neighbour: p99 beside {says}", ms(ours), "ms", target=ms(theirs) * TARGET_RATIO, peer=ms(theirs), peer_name="alone", text=shown)


def p99(platform, app):
    """Seconds, of requests that come one by one on a connection of their own."""
    address = re.sub(r"^\w+://", "", platform.endpoints["router"])
    connection = http.client.HTTPConnection(address, timeout=60)
    taken = []
    for _ in range(REQUESTS):
        begin = time.perf_counter()
        connection.request("GET", "/", headers={"Host": f"{app}.{platform.endpoints['domain']}"})
        answer = connection.getresponse()
        answer.read()
        taken.append(time.perf_counter() - begin)
        if answer.status != 200:
            raise Failed(f"the neighbour answered {answer.status}")
        time.sleep(REQUEST_EVERY_S)
    connection.close()
    return sorted(taken)[REQUESTS * 99 // 100]
