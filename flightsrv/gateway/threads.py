"""`GET /api/processes/{process_id}/threads`: which threads there are, and when they have data."""

from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from flightsrv.client import QueryClient
from flightsrv.client.times import rfc3339
from flightsrv.gateway.callers import Callers
from flightsrv.gateway.errors import problems
from flightsrv.gateway.parameters import known_parameters_only
from flightsrv.gateway.processes import ProcessId, check_known
from flightsrv.gateway.rows import query_rows, query_table
from flightsrv.gateway.times import BeginQuery, EndQuery, TimeText, range_parameters, text_or_none

Integers = npt.NDArray[np.int64]

_STREAMS = """
    SELECT stream_id, tags, properties, coalesce(try_cast(properties['dropped-spans'] AS bigint), 0) AS dropped_spans
    FROM streams
    WHERE process_id = $1 AND (array_has(tags, 'thread') OR array_has(tags, 'async') OR array_has(tags, 'span'))
"""

_BLOCKS = """
    SELECT
        stream_id, nb_objects,
        arrow_cast(begin_time, 'Int64') AS begin_ns,
        arrow_cast(end_time, 'Int64') AS end_ns
    FROM blocks
    WHERE process_id = $1 AND begin_time <= $3 AND end_time >= $2
    ORDER BY stream_id, begin_time, object_offset
"""


class CoveredRange(BaseModel):
    """A time that has data, and how many events."""

    begin: TimeText
    end: TimeText
    nb_events: int


class Thread(BaseModel):
    """A stream: the events of a thread, the async ones of an event loop, or spans that came whole. Dropped spans are
    those, of its whole life, for which the program that recorded had no room."""

    stream_id: str
    kind: Literal["thread", "async"]
    name: str
    thread_id: str | None
    nb_events: int
    dropped_spans: int
    begin: TimeText | None
    end: TimeText | None
    ranges: list[CoveredRange]


class ThreadList(BaseModel):
    """All streams of a process, in order of their begin, and the times from the first event to the last one.

    Of a time range, they are those of the blocks that overlap it."""

    process_id: str
    begin: TimeText | None
    end: TimeText | None
    threads: list[Thread]


def threads_router(callers: Callers) -> APIRouter:
    """The route of this module."""
    router = APIRouter(prefix="/api/processes", tags=["processes"], dependencies=[Depends(known_parameters_only)])

    @router.get("/{process_id}/threads", responses=problems(400, 404, 422))
    def list_threads(
        client: Annotated[QueryClient, Depends(callers)],
        process_id: ProcessId,
        begin: BeginQuery = None,
        end: EndQuery = None,
        max_ranges: Annotated[
            int, Query(ge=1, le=10_000, description="Most ranges of a thread; those close together become one.")
        ] = 300,
    ) -> ThreadList:
        """The threads of a process, and which times have data; with a range, in more detail."""
        limits = range_parameters(begin, end)
        check_known(client, [process_id])
        streams = query_rows(client, _STREAMS, [process_id])
        blocks = query_table(client, _BLOCKS, [process_id, *limits])
        begins, ends, counts = (blocks[name].to_numpy() for name in ("begin_ns", "end_ns", "nb_objects"))
        begin_ns, end_ns = (int(begins.min()), int(ends.max())) if len(begins) else (None, None)
        # Gaps narrower than this are not seen, and there are never more than `max_ranges` wider ones.
        gap_ns = 0 if begin_ns is None or end_ns is None else (end_ns - begin_ns) // max_ranges
        rows_of = _rows_by_stream(blocks["stream_id"].to_pylist())
        threads = [
            _thread(stream, begins[rows], ends[rows], counts[rows], gap_ns)
            for stream in streams
            for rows in (rows_of.get(stream["stream_id"], slice(0, 0)),)
        ]
        threads.sort(key=lambda thread: (thread.begin is None, thread.begin, thread.name, thread.stream_id))
        return ThreadList(
            process_id=process_id, begin=text_or_none(begin_ns), end=text_or_none(end_ns), threads=threads
        )

    return router


def covered_ranges(begins: Integers, ends: Integers, counts: Integers, gap_ns: int) -> list[tuple[int, int, int]]:
    """Begin, end and number of events of each run of blocks, ordered by begin, that are at most `gap_ns` apart."""
    if not len(begins):
        return []
    until = np.maximum.accumulate(ends)
    firsts = np.concatenate([[0], 1 + np.flatnonzero(begins[1:] - until[:-1] > gap_ns)])
    lasts = np.append(firsts[1:], len(begins)) - 1
    return list(
        zip(begins[firsts].tolist(), until[lasts].tolist(), np.add.reduceat(counts, firsts).tolist(), strict=True)
    )


def _rows_by_stream(stream_ids: list[str]) -> dict[str, slice]:
    """Where the rows of each stream are, which follow one another."""
    names, firsts = np.unique(np.array(stream_ids, dtype=str), return_index=True)
    bounds = [*firsts.tolist(), len(stream_ids)]
    return {str(name): slice(bounds[i], bounds[i + 1]) for i, name in enumerate(names)}


def _thread(stream: dict[str, Any], begins: Integers, ends: Integers, counts: Integers, gap_ns: int) -> Thread:
    ranges = covered_ranges(begins, ends, counts, gap_ns)
    return Thread(
        stream_id=stream["stream_id"],
        kind="thread" if "thread" in stream["tags"] else "async",
        name=stream["properties"].get("thread-name", ""),
        thread_id=stream["properties"].get("thread-id"),
        nb_events=int(counts.sum()),
        dropped_spans=stream["dropped_spans"],
        begin=rfc3339(ranges[0][0]) if ranges else None,
        end=rfc3339(ranges[-1][1]) if ranges else None,
        ranges=[CoveredRange(begin=rfc3339(b), end=rfc3339(e), nb_events=n) for b, e, n in ranges],
    )
