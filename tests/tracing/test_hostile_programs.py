"""Programs that do to the recorder what a program may, with nothing but the standard library, on all Pythons that there
are: they end as without it, and whatever they recorded arrives or is counted."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pythons import newer_pythons
from tests.tracing.recorded import MemorySink, tree

ROOT = Path(__file__).parents[2]
PRELUDE = """
import atexit, json, logging, os, signal, sys, threading, time
logging.basicConfig(format="%(message)s")
from flightsrv import tracing

class File:
    def send(self, uploads):
        with open(sys.argv[1], "ab") as file:
            file.write(uploads)
    def close(self):
        pass

def start(**changes):
    return tracing.start(sink=File, settings=tracing.Settings(vitals_every_s=None, stop_timeout_s=60.0, **changes))
"""
NB_THREADS = 500 * int(os.environ.get("TEST_EFFORT", "1"))
"""TEST_EFFORT=40 starts twenty thousand."""
PROGRAMS = {
    "recursion": """
start()
def sink(n):
    with tracing.span("plain"):
        sink(n + 1)
def noted(n):
    with tracing.span("noted", n=n, deep=[[n]]) as opened:
        opened.set(more=n)
        noted(n + 1)
for limit in range(150, 170):
    sys.setrecursionlimit(limit)
    for function in (sink, noted):
        try:
            function(0)
        except RecursionError:
            pass
sys.setrecursionlimit(1000)
with tracing.span("last"):
    pass
""",
    "texts": """
import asyncio
start()
class NoHash(str):
    def __hash__(self): raise ValueError
class NotEqual(str):
    def __eq__(self, other): raise ValueError
    __hash__ = str.__hash__
class Mute(str):
    def __str__(self): raise ValueError
    def encode(self, *options): raise ValueError
    def isascii(self): raise ValueError
async def task(text):
    async with tracing.async_span(text, attribute=text): pass
for kind in (NoHash, NotEqual, Mute):
    for text in map(kind, ("name", "n\\u00e4me", "name")):
        with tracing.span(text, attribute=text) as opened: opened.set(another=text)
        asyncio.run(task(text))
        tracing.traced(name=text)(int)()
        tracing.counter(text, text).set(1)
        tracing.instant(text, attribute=text)
        record = logging.makeLogRecord(dict(name=text, msg=text, levelno=text, lineno=text, pathname=text, extra=text))
        tracing.LogHandler().handle(record)
class Nameless(threading.Thread):
    @property
    def name(self): raise ValueError
    @name.setter
    def name(self, name): pass
    def run(self):
        with tracing.span("nameless"): pass
thread = Nameless()
try:
    thread.start()
except ValueError:  # as without a recorder, where the system is told the name
    pass
with tracing.span("last"):
    pass
""",
    "arguments": """
start()
class Asked:
    @tracing.traced(arguments=True)
    def method(self, *args, **kwargs): return args, kwargs
    @tracing.traced(arguments=True)
    def named(self, self_=1, /, *, cls=2): return self_, cls
assert Asked().method(1, name=2, args=3) == ((1,), {"name": 2, "args": 3})
assert Asked.method(self=Asked()) == ((), {})
assert Asked().named(cls=3) == (1, 3)
try:
    Asked.method()
except TypeError as error:
    assert "self" in str(error)
with tracing.span("last"):
    pass
""",
    "threads": """
start(send_every_s=0.05)
def work():
    with tracing.span("work"): pass
threads = []
for _ in range(NB_THREADS // 50):
    threads = [threading.Thread(target=work) for _ in range(50)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
with tracing.span("last"):
    pass
""",
    "signals": """
start(send_every_s=0.01)
class Interrupted(Exception): pass
def handle(number, frame):
    with tracing.span("handler", number=number):
        tracing.instant("signal")
        child = os.fork()
        if child == 0:
            os._exit(0 if tracing.flush(60) and tracing.statistics().is_recording else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    raise Interrupted
signal.signal(signal.SIGALRM, handle)
for _ in range(20):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.003)
        while True:
            with tracing.span("a", number=1), tracing.span("b"):
                tracing.counter("c").set(1)
    except Interrupted:
        pass
with tracing.span("last"):
    pass
""",
    "interrupted stop": """
class Slow(File):
    def send(self, uploads):
        time.sleep(0.01)
class Interrupted(Exception): pass
def handle(number, frame): raise Interrupted
before = signal.signal(signal.SIGALRM, handle), threading.Thread.start
for number in range(20):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.001 + number * 0.002)
        with tracing.start(sink=Slow, settings=tracing.Settings(vitals_every_s=None)) as session:
            with tracing.span("work"): pass
            session.flush()
        time.sleep(1)
    except Interrupted:
        tracing.stop()
assert threading.Thread.start is before[1] and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
start()
with tracing.span("last"):
    pass
""",
    "end": """
class Late:
    def __del__(self):
        with tracing.span("finalizer"): tracing.instant("finalizer")
late, kept = Late(), [Late()]
kept.append(kept)
def at_exit():
    with tracing.span("at exit"): pass
start()
atexit.register(at_exit)
def daemon():
    while True:
        with tracing.span("daemon"): tracing.instant("daemon")
for _ in range(3):
    threading.Thread(target=daemon, daemon=True).start()
time.sleep(0.05)
with tracing.span("last"):
    pass
""",
    "start at the end": """
def at_exit():
    tracing.stop()
    session = start()
    with tracing.span("at exit"): pass
    if session.statistics().is_recording:
        assert session.flush() and session.statistics().sent_events >= 2
    session.stop()
atexit.register(at_exit)
start()
with tracing.span("last"):
    pass
""",
    "profilers": """
start()
seen = []
sys.setswitchinterval(1e-6)
threading.setprofile(lambda *event: seen.append(event[1]))
sys.settrace(lambda *event: None)
def work():
    for number in range(50):
        with tracing.span("work", number=number): tracing.instant("work")
threads = [threading.Thread(target=work) for _ in range(20)]
for thread in threads: thread.start()
for thread in threads: thread.join()
sys.settrace(None)
assert seen
with tracing.span("last"):
    pass
""",
    "nothing left": """
start()
for number in range(3):
    os.close(number)
os.environ.clear()
os.chdir("/")
for name in ("socket", "json", "struct", "zlib", "platform"):
    sys.modules.pop(name, None)
with tracing.span("last"):
    pass
""",
}
SAY = """
is_sent, found = tracing.stop(), tracing.statistics()
with open(sys.argv[1] + ".json", "w") as file:
    json.dump([is_sent, found._asdict()], file)
"""


COUNTED = {"threads": ("work", NB_THREADS), "profilers": ("work", 1000), "end": ("at exit", 1)}
"""How many spans of a name there must be, besides the last one."""


def names_of(sent: Path, is_whole: bool) -> list[str]:
    """The names of the spans of threads in what a program sent. They must match, and if `is_whole` all have ended."""
    sink = MemorySink()
    sink.send(sent.read_bytes())
    names = []
    for stream_id, events in sink.events.items():
        if sink.streams[stream_id]["tags"] == ["thread"]:
            tree(events)
            begun = [event.name for event in events if event.is_begin]
            assert not is_whole or 2 * len(begun) == len(events)
            names += begun
    return names


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_hostile_program_is_recorded(name: str, tmp_path: Path) -> None:
    """It raises nothing, says nothing, ends well, and spans are there and match."""
    says = "end" not in name
    program = PRELUDE + f"NB_THREADS = {NB_THREADS}\n" + PROGRAMS[name] + (SAY if says else "")
    for number, python in enumerate([sys.executable, *map(str, newer_pythons())]):
        sent = tmp_path / str(number)
        done = subprocess.run(
            [python, "-W", "ignore", "-c", program, sent],
            capture_output=True,
            text=True,
            timeout=120,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            check=False,
        )
        # From Python 3.12 on no thread is started at the end, and the log says so.
        is_known = name == "start at the end" and "at interpreter shutdown" in done.stderr
        assert (done.returncode, "" if is_known else done.stderr) == (0, ""), python
        names = names_of(sent, is_whole=says)
        for counted, times in (("last", 1), COUNTED.get(name, ("last", 1))):
            assert names.count(counted) == times, python
        if says:
            is_sent, found = json.loads(Path(f"{sent}.json").read_text())
            assert is_sent, python
            lost = ("dropped_spans", "dropped_entries", "misplaced_ends", "refused_events", "pending_events")
            assert [found[key] for key in lost] == [0] * 5, python
