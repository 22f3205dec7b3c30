"""Processes and threads are described so that no two of them are taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.model.trace_reader import Track, read_trace
from tests.perfetto.recordings import PROCESS, START_NS, texts
from udtf.perfetto.perfetto_trace_pb2 import Trace
from udtf.perfetto.tracks import ProcessTrack, ThreadTrack, shown_tids, track_uuid
from udtf.perfetto.writer import TraceWriter

tids = st.one_of(st.none(), texts, st.integers(-3, 3).map(str), st.integers().map(str), st.just("4242"))


def described(process: ProcessTrack, threads: list[ThreadTrack]) -> dict[int, Track]:
    return read_trace(TraceWriter(process).descriptors(threads)).tracks


@given(st.lists(st.tuples(texts, tids), max_size=12))
def test_every_thread_has_a_track_and_a_tid_of_its_own(threads: list[tuple[str, str | None]]) -> None:
    """Whatever telemetry says: tids are numbers, different, and those of the telemetry where these are of use."""
    given_threads = [ThreadTrack(f"stream-{i}", name, tid) for i, (name, tid) in enumerate(threads)]
    tracks = described(PROCESS, given_threads)
    assert len(tracks) == 1 + len(threads)
    shown = [tracks[thread.uuid] for thread in given_threads]
    assert [track.thread_name for track in shown] == [name for name, _ in threads]
    assert {track.process_id for track in shown} <= {4242}
    found = [track.thread_id for track in shown]
    assert len(set(found)) == len(found)
    assert all(tid is not None and 0 <= tid < 2**31 for tid in found)
    wanted = [tid for _, tid in threads]
    for i, tid in enumerate(wanted):
        if tid in ("0", "1", "2", "3", "4242") and tid not in wanted[:i]:
            assert found[i] == int(tid)


@pytest.mark.parametrize("tid", [None, "", "main", "-7", "2147483648", "140234234234234", "٣", "9" * 5000])
def test_a_tid_of_no_use_is_replaced(tid: str | None) -> None:
    """The replacement depends on the stream alone and is above what operating systems give out."""
    thread = ThreadTrack("stream-1", "worker", tid)
    (alone,) = shown_tids(PROCESS, [thread]).values()
    assert alone >= 1 << 30
    assert shown_tids(PROCESS, [ThreadTrack("stream-0", "", "5"), thread]) == {"stream-0": 5, "stream-1": alone}


def test_ids_may_be_zero() -> None:
    """A GPU, or a stream of it, may have that number; only thread 0 of process 0 is taken, by the idle task."""
    threads = [ThreadTrack("a", "", "0"), ThreadTrack("b", "", "7")]
    assert shown_tids(PROCESS, threads) == {"a": 0, "b": 7}
    zero = ProcessTrack("p", "GPU", "0")
    assert zero.shown_pid == 0
    found = shown_tids(zero, threads)
    assert found["b"] == 7
    assert found["a"] >= 1 << 30


def test_a_tid_that_was_used_again_belongs_to_the_first() -> None:
    """Operating systems give the id of a thread that ended to another one."""
    found = shown_tids(PROCESS, [ThreadTrack("a", "", "17"), ThreadTrack("b", "", "17"), ThreadTrack("c", "", "18")])
    assert (found["a"], found["c"]) == (17, 18)
    assert found["b"] >= 1 << 30


def test_a_process_is_described() -> None:
    """Name, pid, start, command line and labels."""
    process = ProcessTrack("p", "サーバー", "77", START_NS, ("python", "-m", "x"), ("label",))
    packets = Trace.FromString(TraceWriter(process).descriptors([])).packet
    (descriptor,) = [packet.track_descriptor for packet in packets if packet.HasField("track_descriptor")]
    assert descriptor.uuid == process.uuid
    assert descriptor.process.pid == 77
    assert descriptor.process.process_name == "サーバー"
    assert descriptor.process.start_timestamp_ns == START_NS
    assert list(descriptor.process.cmdline) == ["python", "-m", "x"]
    assert list(descriptor.process.process_labels) == ["label"]


def test_a_process_without_a_pid_gets_one_of_its_own() -> None:
    """It depends on the process alone."""
    one, other = ProcessTrack("one", ""), ProcessTrack("other", "")
    assert one.shown_pid == ProcessTrack("one", "name").shown_pid
    assert one.shown_pid != other.shown_pid
    assert one.shown_pid >= 1 << 30


@given(texts, st.lists(texts, max_size=3))
def test_uuids_are_positive_and_take_nine_bytes(kind: str, ids: list[str]) -> None:
    """They fit SQL's int64, and packets with them have a known size."""
    assert 1 << 56 <= track_uuid(kind, *ids) < 1 << 62


def test_descriptions_are_the_same_every_time() -> None:
    """Nothing in them is random."""
    threads = [ThreadTrack(f"stream-{i}", "worker", None) for i in range(5)]
    assert TraceWriter(PROCESS).descriptors(threads) == TraceWriter(PROCESS).descriptors(threads)
