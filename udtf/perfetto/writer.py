"""One process's trace, as bytes: what may be called when, and in which order the bytes belong in the file."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from udtf.lake.scopes import ScopeHashes
from udtf.perfetto import sequence
from udtf.perfetto.interning import Bodies, Interned, Interner
from udtf.perfetto.linked import LinkedSpans
from udtf.perfetto.tracks import ProcessTrack, ThreadTrack, process_descriptor, root_descriptor, thread_descriptors


class TraceWriter:
    """Makes the packets of one process. Bytes belong in the file in this order:

    1. `descriptors`;
    2. for some spans the definitions that `intern` gave; for each thread that has some of them, `start` of its encoder
       and the pieces of `encode`, and after its last ones those of `finish`. The same for each async stream;
    3. instants anywhere, after the descriptors.

    Args:
        other_tracks: the tracks of streams of other processes in the trace, to which links of this one lead.
        linked: the whole spans that links name by their ids, of all processes in the trace; by default, none.
    """

    def __init__(
        self,
        process: ProcessTrack,
        other_tracks: Mapping[str, int] = MappingProxyType({}),
        linked: LinkedSpans | None = None,
    ) -> None:
        self.process = process
        self.linked = linked or LinkedSpans()
        self._other_tracks = other_tracks
        self._interner = Interner()
        self._threads: dict[str, ThreadTrack] = {}

    @property
    def bodies(self) -> Bodies:
        """What the events of interned scopes look like."""
        return self._interner.bodies

    def descriptors(self, threads: Sequence[ThreadTrack]) -> bytes:
        """Start of the trace, the process's track, and all its threads' tracks."""
        self._threads = {thread.stream_id: thread for thread in threads}
        return b"".join(
            (
                sequence.sequence_start(),
                root_descriptor(self.process, threads),
                process_descriptor(self.process),
                thread_descriptors(self.process, threads),
            )
        )

    def resume(self, threads: Sequence[ThreadTrack]) -> bytes:
        """In place of `descriptors`, where those were written before the packets of other processes."""
        self._threads = {thread.stream_id: thread for thread in threads}
        return sequence.sequence_start()

    def thread(self, stream_id: str | None) -> ThreadTrack | None:
        """The thread that has a stream, of those that the trace describes."""
        return None if stream_id is None else self._threads.get(stream_id)

    def uuid_of(self, thread: ThreadTrack | None) -> int:
        """The track of a thread, or of the process where that is None."""
        return self.process.uuid if thread is None else thread.uuid

    def track_of(self, stream_id: str) -> int:
        """The track of a stream that something is linked to, that of its thread or of its process; where the trace has
        no such stream, that of this process."""
        thread = self._threads.get(stream_id)
        return self._other_tracks.get(stream_id, self.process.uuid) if thread is None else thread.uuid

    def intern(self, scope_table: pa.StructArray, hashes: ScopeHashes) -> Interned:
        """Ids for the scopes of the spans to be encoded next; `hashes` as `lake.scopes.scope_hashes` makes them."""
        return self._interner.intern(scope_table, hashes)

    def intern_messages(self, texts: pa.StringArray) -> Interned:
        """Ids for the messages of the log entries to be encoded next."""
        return self._interner.intern_messages(texts)

    def intern_keys(
        self, hashes: npt.NDArray[np.uint64], positions: npt.NDArray[np.int64], data: npt.NDArray[np.uint8]
    ) -> Interned:
        """Ids for the keys of the attributes to be encoded next, given as `lake.attributes.entry_keys` does."""
        return self._interner.intern_keys(hashes, positions, data)

    def instant(self, thread: ThreadTrack | None, time_ns: int, name: str, annotations: Mapping[str, str]) -> bytes:
        """A mark on the track of a thread, or of the process where that is None."""
        return sequence.instant(self.uuid_of(thread), time_ns, name, annotations)
