"""Pieces: buffers of whole packets, small enough to be put together into chunks."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from udtf.perfetto.annotations import Annotations
from udtf.perfetto.interning import Bodies
from udtf.perfetto.kernels import MAX_EVENT_BYTES, Words, encode_events
from udtf.perfetto.perfetto_trace_pb2 import TrackEvent

Bytes = npt.NDArray[np.uint8]

Encode = Callable[[int, int, Bytes], tuple[int, int, int]]
"""Writes events into a buffer, as far as it has room. Given the first event that is not done and the time of the one
before, it returns the first that is not done then, the bytes written, and the time of the last one."""

PIECE_BYTES = 512 << 10
"""Most bytes in a piece of events."""


@dataclass(frozen=True)
class Events:
    """Begins and ends in the order in which they are written, as columns of equal length.

    `rows` are rows of bodies, `lanes` are rows of `track_fields` or `kernels.DEFAULT_TRACK`, `sources` are numbers of
    attributes as `Annotations` has them; they are empty where no event has any.
    """

    times_ns: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int32]
    lanes: npt.NDArray[np.int64]
    sources: npt.NDArray[np.int64]


def track_fields(uuids: Sequence[int]) -> Words:
    """`track_uuid` fields as bytes: the first `kernels.TRACK_FIELD_BYTES` of the 16 in each row."""
    fields = b"".join(TrackEvent(track_uuid=uuid).SerializeToString().ljust(16, b"\0") for uuid in uuids)
    return np.frombuffer(fields, np.uint64).reshape(-1, 2)


def new_piece(event_count: int, attribute_bytes: int = 0) -> Bytes:
    """A buffer for so many events with so many bytes of attributes, or for as many as a piece holds."""
    return np.empty(min((event_count + 1) * MAX_EVENT_BYTES + 2 * attribute_bytes, PIECE_BYTES), np.uint8)


def pieces_of(event_count: int, last_ns: int, attribute_bytes: int, encode: Encode) -> Iterator[memoryview]:
    """Pieces of so many events, after one at `last_ns`."""
    event = 0
    while event < event_count:
        piece = new_piece(event_count - event, attribute_bytes)
        event, size, last_ns = encode(event, last_ns, piece)
        yield piece[:size].data


def write_events(
    events: Events, last_ns: int, bodies: Bodies, tracks: Words, annotations: Annotations
) -> Iterator[memoryview]:
    """Pieces of events, after one at `last_ns`; their sources are those of `annotations`."""

    def encode(first: int, last_ns: int, piece: Bytes) -> tuple[int, int, int]:
        return encode_events(  # type: ignore[no-any-return]
            events.times_ns,
            events.rows,
            events.lanes,
            first,
            last_ns,
            bodies.words,
            bodies.lengths,
            tracks,
            events.sources,
            *annotations.columns,
            piece,
        )

    attribute_bytes = annotations.with_sources(events.sources).count_bytes()
    return pieces_of(len(events.times_ns), last_ns, attribute_bytes, encode)


def check_columns(columns: Sequence[npt.NDArray[np.generic]], iids: npt.NDArray[np.int32], bodies: Bodies) -> None:
    """Keeps compiled loops from reading beyond what they were given.

    Raises:
        ValueError: columns have different lengths, or there is no body for an id.
    """
    if len({len(column) for column in columns}) != 1:
        raise ValueError(f"columns of spans have lengths {[len(column) for column in columns]}")
    if len(iids) and not (iids.min() >= 1 and iids.max() < len(bodies)):
        raise ValueError(f"spans have scopes {iids.min()} to {iids.max()}, of {len(bodies) - 1}")
