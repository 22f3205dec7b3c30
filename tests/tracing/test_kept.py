"""What is kept while a server is away, and when a program is ended by force."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flightsrv import tracing
from flightsrv.client import connect
from flightsrv.tracing.spool import MAX_AGE_S, Spool
from tests.support.ports import free_port
from tests.tracing.servers import tracing_server
from tests.tracing.test_children import PRELUDE, ROOT, run_file, spans_of

TIMEOUT_S = 60.0


def files_below(folder: Path) -> list[str]:
    # Folders may go meanwhile, which `walk` does not mind.
    return sorted(str(Path(path, name).relative_to(folder)) for path, _, names in os.walk(folder) for name in names)


def test_what_a_program_could_not_send_the_next_one_sends(tmp_path: Path) -> None:
    """In order, once, and nothing of it stays on disk."""
    spool, port = tmp_path / "spool", free_port()
    program = """
        settings = tracing.Settings(send_every_s=0.02, stop_timeout_s=float(sys.argv[2]))
        session = tracing.start(sys.argv[1], settings=settings)
        for number in range(3):
            work(number)
            tracing.flush(float(sys.argv[3]))
        print(session.process_id)
    """
    url = f"http://127.0.0.1:{port}"
    earlier = run_file(tmp_path, program, url, 0.1, 0.0, FLIGHTSRV_SPOOL=str(spool)).strip()
    assert any(earlier in name for name in files_below(spool))
    with tracing_server(str(tmp_path / "lake"), port) as server:
        later = run_file(
            tmp_path,
            """
            settings = tracing.Settings(send_every_s=0.02, stop_timeout_s=60.0)
            session = tracing.start(sys.argv[1], settings=settings)
            work(3)
            assert tracing.flush(60)
            while any(files for _, _, files in os.walk(os.environ["FLIGHTSRV_SPOOL"])):
                time.sleep(0.02)
            print(session.process_id)
            """,
            url,
            FLIGHTSRV_SPOOL=str(spool),
        ).strip()
        assert spans_of(server, earlier) == ["work 0", "part", "work 1", "part", "work 2", "part"]
        assert spans_of(server, later) == ["work 3", "part"]
    assert files_below(spool) == []


def test_a_killed_program_loses_what_was_not_kept_yet(tmp_path: Path) -> None:
    """Where it asks for that, everything is on disk shortly after it was recorded."""
    spool, port = tmp_path / "spool", free_port()
    path = tmp_path / "program.py"
    path.write_text(
        PRELUDE
        + """
settings = tracing.Settings(vitals_every_s=None, send_every_s=1000.0, keep_every_s=0.02)
session = tracing.start(sys.argv[1], settings=settings)
work(1)
while session.statistics().spooled_events < 4:
    time.sleep(0.01)
print(session.process_id, flush=True)
time.sleep(1000)
"""
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "FLIGHTSRV_SPOOL": str(spool)}
    command = [sys.executable, path, f"http://127.0.0.1:{port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as killed:
        assert killed.stdout is not None
        process_id = killed.stdout.readline().strip()
        killed.kill()
    assert len(files_below(spool)) == 2
    with tracing_server(str(tmp_path / "lake"), port) as server:
        settings = tracing.Settings(send_every_s=0.02, spool=str(spool), stop_timeout_s=TIMEOUT_S)
        with tracing.start(server.http_url, settings=settings):
            while files_below(spool):
                tracing.flush(TIMEOUT_S)
        assert spans_of(server, process_id) == ["work 1", "part"]


NB_SPANS_AWAY = 20_000 * int(os.environ.get("TEST_EFFORT", "1"))
"""While a server is away; TEST_EFFORT=450 records nine million, as fifty threads do in an hour."""


@pytest.mark.parametrize("has_room", [True, False])
def test_a_server_that_is_away_for_long(tmp_path: Path, has_room: bool) -> None:
    """What the spool has room for arrives when the server is back, in order, once; the rest is counted, and told of."""
    port, spool, max_spool_bytes = free_port(), tmp_path / "spool", 256 << 20 if has_room else 10_000
    settings = tracing.Settings(
        send_every_s=0.02,
        capacity_spans=4096,
        reserve_spans=0,
        max_pending_bytes=min(max_spool_bytes, 16 << 20),
        max_spool_bytes=max_spool_bytes,
        spool=str(spool),
        keep_every_s=0.01,
        vitals_every_s=None,
        stop_timeout_s=TIMEOUT_S,
    )
    with tracing.start(f"http://127.0.0.1:{port}", settings=settings) as session:
        numbers = [tracing.span(str(number)) for number in range(100)]
        for number in range(NB_SPANS_AWAY):
            with numbers[number % 100]:
                pass
            if number % 2000 == 0:
                time.sleep(0.05)
                while has_room and session.statistics().pending_events < 2 * number:
                    time.sleep(0.01)
        assert not tracing.flush(0.1)
        away = session.statistics()
        assert sum((spool / name).stat().st_size for name in files_below(spool)) <= max_spool_bytes
        with tracing_server(str(tmp_path / "lake"), port) as server:
            assert tracing.flush(20 * TIMEOUT_S)
            kept = session.statistics()
            assert session.stop()
            with connect(server.url) as client:
                names = client.query(
                    "SELECT name FROM process_spans($1, 'thread') ORDER BY begin", [session.process_id]
                )
                (stream,) = client.query(
                    "SELECT properties['dropped-spans'] AS dropped FROM streams WHERE process_id = $1",
                    [session.process_id],
                ).to_pylist()
    assert kept.dropped_spans + kept.sent_events // 2 == NB_SPANS_AWAY
    assert (kept.refused_events, kept.pending_events, kept.spooled_events) == (0, 0, 0)
    assert stream["dropped"] == (str(kept.dropped_spans) if kept.dropped_spans else None)
    arrived = names["name"].to_pylist()
    assert len(arrived) == NB_SPANS_AWAY - kept.dropped_spans
    nb_first = next((i for i, name in enumerate(arrived) if name != str(i % 100)), len(arrived))
    if has_room:
        assert (away.dropped_spans, nb_first) == (0, NB_SPANS_AWAY)
    else:
        assert kept.dropped_spans > 0
        assert nb_first >= settings.capacity_spans
    assert files_below(spool) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_program_that_is_told_to_end_sends_what_it_has(tmp_path: Path, number: signal.Signals) -> None:
    """And ends as it would without tracing: by the signal."""
    path = tmp_path / "program.py"
    path.write_text(
        PRELUDE
        + """
session = tracing.start(sys.argv[1], settings=tracing.Settings(send_every_s=1000.0, stop_timeout_s=60.0))
work(1)
print(session.process_id, flush=True)
while True:
    # Not for long: a signal that comes just before a sleep is handled after it.
    time.sleep(0.05)
"""
    )
    with tracing_server(str(tmp_path / "lake")) as server:
        with subprocess.Popen(
            [sys.executable, path, server.http_url],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        ) as program:
            assert program.stdout is not None
            process_id = program.stdout.readline().strip()
            program.send_signal(number)
            assert program.wait(120) == -number
        assert spans_of(server, process_id) == ["work 1", "part"]


def test_handlers_of_the_program_stay(tmp_path: Path) -> None:
    """One that it has when recording starts, and one that it sets later; without any, all is as before at the end."""
    run_file(
        tmp_path,
        """
        def own(number, frame): pass
        class Nowhere:
            def send(self, uploads): pass
            def close(self): pass
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        with tracing.start(sink=Nowhere):
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        with tracing.start(sink=Nowhere):
            signal.signal(signal.SIGTERM, own)
        assert signal.getsignal(signal.SIGTERM) is own
        with tracing.start(sink=Nowhere):
            assert signal.getsignal(signal.SIGTERM) is own
        """,
    )


def test_a_full_spool_takes_no_more(tmp_path: Path) -> None:
    """What other processes keep for the same server counts; what was taken can be read, and room comes back."""
    first = Spool(str(tmp_path / "spool"), "server", "first", max_bytes=100)
    name = first.add(b"x" * 60)
    assert name is not None
    second = Spool(str(tmp_path / "spool"), "server", "second", max_bytes=100)
    assert second.add(b"y" * 60) is None
    assert Spool(str(tmp_path / "spool"), "another", "third", max_bytes=100).add(b"y" * 60) is not None
    assert first.add(b"x" * 60) is None
    assert first.read(name) == b"x" * 60
    first.remove(name)
    assert first.add(b"x" * 60) is not None


def test_a_living_process_keeps_its_spool(tmp_path: Path) -> None:
    """Others take it over when it is over."""
    living = Spool(str(tmp_path), "server", "living", max_bytes=1000)
    living.add(b"one")
    living.add(b"two")
    other = Spool(str(tmp_path), "server", "other", max_bytes=1000)
    assert list(other.abandoned()) == []
    living.close()  # it is not empty, so it stays
    assert [upload for folder in other.abandoned() for upload in folder.uploads()] == [b"one", b"two"]
    assert files_below(tmp_path) == []


def test_what_no_program_ever_sends_is_removed(tmp_path: Path) -> None:
    """After a week, of servers that this program does not send to, unless their program lives."""
    old, living, young, own = (
        Spool(str(tmp_path), server, process, max_bytes=1000)
        for server, process in (("old", "one"), ("old", "two"), ("young", "three"), ("own", "four"))
    )
    for spool in (old, living, young, own):
        spool.add(b"telemetry")
        if spool is not living:
            spool.close()
        if spool is not young:
            os.utime(spool.path, (0, time.time() - MAX_AGE_S - 60))
    assert list(Spool(str(tmp_path), "own", "five", max_bytes=1000).remove_outdated()) == [(old.path, 9)]
    assert {name.partition("/")[2] for name in files_below(tmp_path)} == {
        f"{process}/{name}" for process in ("two", "three", "four") for name in ("lock", "000000000001")
    }


def test_a_folder_of_another_user_is_no_spool(tmp_path: Path) -> None:
    """Nor one that others may write to."""
    root = tmp_path / "spool"
    root.mkdir(mode=0o777)
    root.chmod(0o777)
    assert Spool(str(root), "server", "process", max_bytes=1000).add(b"one") is None
    assert files_below(root) == []
