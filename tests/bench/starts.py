"""`start`: from the decision to the first instruction of the app's command, one dyno and many at once, and a dyno's end."""

import json
import pathlib
import re
import time

from bench import Row, bare_app, bench_platform, median, ms, note, spread, wait_for
from peers import peers

STARTS = 30
AT_ONCE = 20
BURSTS = 5
# How often a dyno's folder is looked at: its removal is the end of all that it had.
LOOK_EVERY_SECONDS = 0.001


def start_bench():
    with bench_platform() as platform, peers() as others:
        app = bare_app(platform, "bench-clock", "clock: bin/clock\n", "clock")
        ours, ends, bursts = [], [], []
        theirs = {peer.name: ([], [], []) for peer in others}
        for _ in range(STARTS):
            started, ended = one_life(platform, app)
            ours.append(started)
            ends.append(ended)
            for peer in others:
                started, ended = peer.one_life()
                theirs[peer.name][0].append(started)
                theirs[peer.name][1].append(ended)
        supervised = made(platform)
        for _ in range(BURSTS):
            bursts.append(one_burst(platform, app))
            for peer in others:
                theirs[peer.name][2].append(peer.one_burst(AT_ONCE))
    note(f"the node's own steps, last start: {supervised}")
    remark = "; ours with disk, network, log and two shells; {}"
    kinds = [
        ("start: row decided to the command's first instruction", ours, 30, 0, remark.format(" and ".join(p.remark for p in others))),
        ("stop: the command's end, to nothing of the dyno being left", ends, 50, 1, ""),
        (f"start: {AT_ONCE} at once, first decision to the last one's first instruction", bursts, 500, 2, ""),
    ]
    return [row for kind in kinds for row in rows(*kind, theirs)]


def rows(figure, ours, target, index, remark, theirs):
    """Ours beside the first peer; any other has a line of its own."""
    first, *more = ((name, spans[index]) for name, spans in theirs.items())
    name, spans = first
    yield Row(figure, median(ours), "ms", target=target, peer=median(spans), peer_name=name, text=f"{spread(ours)}{remark}")
    for name, spans in more:
        yield Row(f"{figure.partition(':')[0]}: the same, by {name}", median(spans), "ms", text=spread(spans))


def one_life(platform, app):
    """Scales to one and back to none: milliseconds to its first instruction and from its last one. The decision is the
    `State changed from ... to starting` of the platform's log, written with the row's own time, before it is committed."""
    begin = time.time()
    platform.scale(app, clock=1)
    decided, _ = platform.api.wait_for_line(app, r"heroku\[clock\.1\]", "to starting", begin)
    _, first = platform.api.wait_for_line(app, r"app\[clock\.1\]", r"first-instruction=(\d+)", begin)
    platform.api.wait_for_line(app, r"heroku\[clock\.1\]", "to up", begin)
    [folder] = folders(platform)
    platform.scale(app, clock=0)
    gone = wait_for("the dyno to be gone", 30, lambda: None if folder.exists() else time.time(), every=LOOK_EVERY_SECONDS)
    _, last = platform.api.wait_for_line(app, r"app\[clock\.1\]", r"last-instruction=(\d+)", begin)
    platform.api.wait_for_line(app, r"heroku\[clock\.1\]", "to down", begin)
    return ms(int(first[1]) / 1e9 - decided), ms(gone - int(last[1]) / 1e9)


def one_burst(platform, app):
    """Milliseconds from the first decision to the first instruction of the last one of many."""
    begin = time.time()
    platform.scale(app, clock=AT_ONCE)
    told = lambda pattern: [  # noqa: E731
        (at, match) for at, name, text in platform.api.log(app) if at >= begin and "[clock." in name and (match := re.search(pattern, text))
    ]
    firsts = lambda: told(r"first-instruction=(\d+)")  # noqa: E731
    lasts = wait_for("all of them", 60, lambda: firsts() if len(firsts()) == AT_ONCE else None, every=0.3)
    decided = min(at for at, _ in told("to starting"))
    platform.scale(app, clock=0)
    wait_for("all of them to be gone", 60, lambda: not folders(platform), every=0.1)
    return ms(max(int(match[1]) for _, match in lasts) / 1e9 - decided)


def folders(platform):
    return [path for path in pathlib.Path(platform.data / "node/dynos").iterdir() if json_there(path)]


def json_there(path):
    try:
        return bool(json.loads((path / "state.json").read_text()))
    except (OSError, ValueError):
        return False


def made(platform):
    lines = [line for line in platform.operator_log().splitlines() if "made a dyno" in line]
    return lines[-1].partition("made a dyno: ")[2] if lines else "not told"
