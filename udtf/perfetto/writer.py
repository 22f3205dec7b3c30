"""One process's trace, as bytes: who may call what, and in which order the bytes belong in the file."""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from udtf.lake.scopes import ScopeHashes
from udtf.perfetto import sequence
from udtf.perfetto.async_spans import AsyncEncoder
from udtf.perfetto.interning import InternedScopes, Interner
from udtf.perfetto.threads import ThreadEncoder
from udtf.perfetto.tracks import ProcessTrack, ThreadTrack, process_descriptor, thread_descriptors


class TraceWriter:
    """Makes the packets of one process. Bytes belong in the file in this order:

    1. `descriptors`;
    2. for each thread: `start` of its encoder, then for each batch of spans the definitions that `intern` gave and the
       pieces of `encode`, then those of `finish`. The same for each async stream;
    3. instants anywhere, after the descriptors.

    `intern` is for one caller at a time, in the order of the file; encoders work in parallel.
    """

    def __init__(self, process: ProcessTrack) -> None:
        self._process = process
        self._interner = Interner()

    def descriptors(self, threads: Sequence[ThreadTrack]) -> bytes:
        """Start of the trace, the process's track, and all its threads' tracks."""
        return b"".join(
            (
                sequence.sequence_start(),
                process_descriptor(self._process),
                thread_descriptors(self._process, threads),
            )
        )

    def intern(self, scope_table: pa.StructArray, hashes: ScopeHashes) -> InternedScopes:
        """Ids for the scopes of the spans to be encoded next; `hashes` as `lake.scopes.scope_hashes` makes them."""
        return self._interner.intern(scope_table, hashes)

    def thread(self, thread: ThreadTrack) -> ThreadEncoder:
        """An encoder for the spans of one thread."""
        return ThreadEncoder(thread)

    def async_stream(self, stream_id: str) -> AsyncEncoder:
        """An encoder for the spans of one async stream."""
        return AsyncEncoder(self._process, stream_id)

    def instant(self, thread: ThreadTrack | None, time_ns: int, name: str, annotations: Mapping[str, str]) -> bytes:
        """A mark on the track of a thread, or of the process where that is None."""
        track = self._process if thread is None else thread
        return sequence.instant(track.uuid, time_ns, name, annotations)
