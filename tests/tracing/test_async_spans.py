"""Async spans: parents follow tasks, and overlapping spans keep their own begins and ends."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator

import pytest

from flightsrv import tracing
from tests.tracing.recorded import GatedSink, MemorySink, async_tree, settings


@pytest.fixture
def sink() -> Iterator[MemorySink]:
    """A sink that a recording with exact ticks sends to."""
    sink = MemorySink()
    with tracing.start(sink=lambda: sink, settings=settings()):
        yield sink


def recorded_tree(sink: MemorySink, thread_name: str = "MainThread") -> str:
    tracing.flush()
    return async_tree(sink.of_thread(thread_name, "async"))


async def step(name: str, gate: asyncio.Event | None = None) -> None:
    async with tracing.async_span(name):
        if gate is not None:
            await gate.wait()


def test_tasks_are_children_of_the_span_they_were_made_in(sink: MemorySink) -> None:
    """`gather` and `create_task` carry the parent over, however the tasks overlap."""

    async def request(number: int, gate: asyncio.Event) -> None:
        async with tracing.async_span(f"request {number}"):
            await asyncio.gather(step("read", gate), step("decode", gate))
            await asyncio.create_task(step("store"))

    async def main() -> None:
        gate = asyncio.Event()
        async with tracing.async_span("main"):
            tasks = [asyncio.create_task(request(number, gate)) for number in range(2)]
            await asyncio.sleep(0)
            gate.set()
            await asyncio.gather(*tasks)

    asyncio.run(main())
    children = "\n    read\n    decode\n    store"
    assert recorded_tree(sink) == f"main\n  request 0{children}\n  request 1{children}"


def test_overlapping_spans_keep_their_own_ends(sink: MemorySink) -> None:
    """The first to begin may be the first to end."""

    async def main() -> None:
        gates = [asyncio.Event(), asyncio.Event()]
        tasks = [asyncio.create_task(step(f"step {i}", gate)) for i, gate in enumerate(gates)]
        await asyncio.sleep(0)
        for gate, task in zip(gates, tasks, strict=True):
            gate.set()
            await task

    asyncio.run(main())
    tracing.flush()
    events = sink.of_thread("MainThread", "async")
    assert [(event.is_begin, event.name, event.ticks) for event in events] == [
        (True, "step 0", 2),
        (True, "step 1", 3),
        (False, "step 0", 4),
        (False, "step 1", 5),
    ]


def test_cancelled_spans_end(sink: MemorySink) -> None:
    """Cancellation is an exception like others: the span ends, and its parent is the current one again."""

    async def main() -> None:
        async with tracing.async_span("main"):
            task = asyncio.create_task(step("endless", asyncio.Event()))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(KeyError):
                async with tracing.async_span("failing"):
                    raise KeyError
            await step("last")

    asyncio.run(main())
    assert recorded_tree(sink) == "main\n  endless\n  failing\n  last"


def test_every_event_loop_has_its_stream(sink: MemorySink) -> None:
    """Span ids are unique across the loops of a process."""

    def work() -> None:
        asyncio.run(step("theirs"))

    thread = threading.Thread(target=work, name="loop")
    thread.start()
    thread.join()
    asyncio.run(step("mine"))
    assert recorded_tree(sink) == "mine"
    assert recorded_tree(sink, "loop") == "theirs"
    events = sink.of_thread("MainThread", "async") + sink.of_thread("loop", "async")
    assert len({event.span_id for event in events}) == 2
    assert all(row["tags"] == ["async"] for row in sink.streams.values())


def test_a_parent_on_another_thread_is_known(sink: MemorySink) -> None:
    """`asyncio.to_thread` takes the context along; the child is recorded in the stream of its own thread."""

    async def main() -> None:
        async with tracing.async_span("main"):
            await asyncio.to_thread(lambda: asyncio.run(step("elsewhere")))

    asyncio.run(main())
    tracing.flush()
    events = {event.name: event for stream in sink.events.values() for event in stream if event.is_begin}
    assert events["elsewhere"].parent_span_id == events["main"].span_id
    assert events["elsewhere"].depth == 1


def test_an_ended_parent_stays_the_parent(sink: MemorySink) -> None:
    """A task that outlives the span it was made in still says where it comes from."""

    async def main() -> None:
        gate = asyncio.Event()
        async with tracing.async_span("short"):
            task = asyncio.create_task(step("long", gate))
            await asyncio.sleep(0)
        gate.set()
        await task

    asyncio.run(main())
    assert recorded_tree(sink) == "short\n  long"


def test_a_span_of_a_given_up_generator_ends(sink: MemorySink) -> None:
    """The loop closes it later, in another context; the host notices nothing."""

    async def numbers() -> AsyncGenerator[int, None]:
        async with tracing.async_span("numbers"):
            yield 1
            yield 2

    async def main() -> None:
        async for _ in numbers():
            break
        await asyncio.sleep(0.01)

    asyncio.run(main())
    assert recorded_tree(sink) == "numbers"


def test_a_full_buffer_drops_whole_async_spans() -> None:
    """Children of a dropped span belong to the nearest one that was recorded."""
    sink = GatedSink()
    sink.gate.clear()

    async def main() -> None:
        async with tracing.async_span("root"):
            for _ in range(100):
                async with tracing.async_span("a"), tracing.async_span("b"):
                    pass

    with tracing.start(sink=lambda: sink, settings=settings(capacity_spans=5)) as session:
        assert not session.flush(timeout_s=0.01)
        sink.was_called.wait()
        asyncio.run(main())
        sink.gate.set()
        assert session.flush()
        recorded = len(recorded_tree(sink).splitlines())
        assert recorded + session.statistics().dropped_spans == 201
        assert 0 < recorded < 201


def test_a_parent_of_an_earlier_recording_is_forgotten(sink: MemorySink) -> None:
    """A process never names a span of another process as parent."""
    later = MemorySink()

    async def main() -> None:
        async with tracing.async_span("earlier"):
            tracing.stop()
            tracing.start(sink=lambda: later, settings=settings())
            await step("later")

    asyncio.run(main())
    tracing.stop()
    assert async_tree(later.of_thread("MainThread", "async")) == "later"
    assert async_tree(sink.of_thread("MainThread", "async")) == "earlier ..."


def test_async_spans_without_a_recording_do_nothing() -> None:
    """The coroutine runs as if there were none."""
    asyncio.run(step("nobody listens"))
    assert not tracing.statistics().is_recording
