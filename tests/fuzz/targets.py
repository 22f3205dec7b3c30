"""What is fed with bytes. Each lets through the errors by which it refuses them; all others are found."""

import gzip
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from flightsrv.flight.upload import MessageUpload
from flightsrv.flightsql.parameters import parse_statement
from flightsrv.flightsql.tickets import parameters_of, read_ticket, time_range_of
from flightsrv.importers.chrome import ChromeTraceError, read_chrome_trace
from flightsrv.importers.otlp import SIGNALS, Encoding, Exports, InvalidExport
from flightsrv.policy.auth.authentication import Authentication, Unauthenticated
from flightsrv.policy.auth.principal import Principal, Role
from flightsrv.policy.auth.tokens import Tokens
from flightsrv.policy.headers import read_options
from flightsrv.policy.sessions import session_id_in
from flightsrv.telemetry import blocks_batch
from flightsrv.wire.codec import decode, pack, unpack
from flightsrv.wire.flight_pb2 import FlightData, SetSessionOptionsRequest
from flightsrv.wire.flight_sql_pb2 import CommandGetTables, CommandStatementIngest, CommandStatementQuery
from flightsrv.wire.ticket_pb2 import QueryTicket
from tests.server.telemetry import Recording
from udtf.errors import InvalidArgument, InvalidTelemetry
from udtf.lake import schemas
from udtf.lake.block_format import MAX_EVENTS, Events, Scope, decode_block, encode_block, scope_array
from udtf.lake.ingestion.blocks import read_blocks
from udtf.lake.ingestion.columns import rows_of

_TOKENS, _TOKEN = Tokens().with_new(Principal("reader", frozenset({Role.READER})))
_RECORDING = Recording()
_CHROME = {
    "traceEvents": [{"ph": ph, "ts": 1.5, "dur": 2, "pid": 1, "tid": 2, "name": "x", "id": "7"} for ph in "XBEbe"]
}
_FOLDER = tempfile.TemporaryDirectory(prefix="fuzz-")


@dataclass(frozen=True)
class Target:
    """Something that reads bytes, and bytes that it takes, to begin with."""

    read: Callable[[bytes], None]
    seeds: Sequence[bytes] = field(repr=False)


def read_a_ticket(data: bytes) -> None:
    with suppress(InvalidArgument):
        ticket = read_ticket(data)
        if isinstance(ticket, QueryTicket):
            time_range_of(ticket)
            parameters_of(ticket)


def read_a_command(data: bytes) -> None:
    with suppress(InvalidArgument):
        message = unpack(data)
        assert unpack(pack(message)) == message


def read_session_options(data: bytes) -> None:
    with suppress(InvalidArgument):
        decode(SetSessionOptionsRequest, data)


def read_a_statement(data: bytes) -> None:
    sql = data.decode(errors="replace")
    with suppress(InvalidArgument):
        statement = parse_statement(sql)
        assert len(statement.pieces) == len(statement.parameters) + 1
        assert all(piece in sql for piece in statement.pieces)
        assert parse_statement(statement.numbered()).parameter_count == statement.parameter_count


def read_a_block(data: bytes) -> None:
    with suppress(InvalidArgument):
        assert 0 < len(decode_block(data)) <= MAX_EVENTS


def read_an_upload(data: bytes) -> None:
    """Messages, each behind its size in four bytes."""
    messages = []
    while data:
        size = int.from_bytes(data[:4], "little") % 65536
        messages.append(data[4 : 4 + size])
        data = data[4 + size :]
    with suppress(InvalidArgument):
        for batch in MessageUpload(iter(messages)).batches():
            for blocks, rows in read_blocks(batch):
                assert 0 < len(blocks) == len(rows) <= batch.num_rows


def read_headers(data: bytes) -> None:
    names = ["query_range_begin", "query_range_end", "trace_strict", "trace_progress", "preserve_dictionary", "cookie"]
    values = data.decode(errors="replace").split("\n")
    headers = {name: [value] for name, value in zip(names, values, strict=False)}
    session_id_in(headers)
    with suppress(InvalidArgument):
        read_options(headers)


def read_credentials(data: bytes) -> None:
    with suppress(Unauthenticated):
        principal = Authentication(_TOKENS).principal({"authorization": [data.decode(errors="replace")]})
        assert _TOKEN.encode() in data or data.lower().startswith(b"basic "), principal


def read_a_chrome_trace(data: bytes) -> None:
    path = Path(_FOLDER.name, "trace.json")
    path.write_bytes(data)
    with suppress(ChromeTraceError):
        trace = read_chrome_trace(path)
        for block in trace.blocks():
            assert len(read_blocks(blocks_batch([block]))) == 1
        assert all(trace.findings.describe())


def read_an_export(data: bytes) -> None:
    """The first byte chooses the signal and the encoding. What is made of a request, the lake takes."""
    if not data:
        return
    signal = list(SIGNALS.values())[data[0] % len(SIGNALS)]
    encoding = list(Encoding)[data[0] // len(SIGNALS) % len(Encoding)]
    with suppress(InvalidExport):
        Exports().store(signal, signal.decode(data[1:], encoding), _checked, InvalidTelemetry)


def _checked(table: str, rows: pa.RecordBatch) -> None:
    if table == "blocks":
        read_blocks(rows)
    else:
        schema = {"processes": schemas.PROCESSES, "streams": schemas.STREAMS}[table]
        assert rows_of(rows, schema, ("process_id",))


def _exports() -> list[bytes]:
    attributes = [
        {"key": "thread.name", "value": {"stringValue": "main"}},
        {"key": "tags", "value": {"arrayValue": {"values": [{"intValue": "1"}, {"doubleValue": 0.5}]}}},
    ]
    times = {"startTimeUnixNano": "5", "endTimeUnixNano": "9", "timeUnixNano": "7"}
    ids = {"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174"}
    status = {"code": 2, "message": "no"}
    event = {"timeUnixNano": "6", "name": "e", "attributes": attributes}
    span = {**times, **ids, "name": "s", "kind": 2, "attributes": attributes, "status": status, "events": [event]}
    record = {**times, **ids, "severityNumber": 9, "body": {"stringValue": "m"}, "attributes": attributes}
    number = {**times, "asDouble": 1.5, "attributes": attributes}
    histogram = {**times, "count": "3", "sum": 4, "bucketCounts": ["1", "2"], "explicitBounds": [1.0]}
    exponential = {**times, "count": "3", "scale": 1, "positive": {"offset": 1, "bucketCounts": ["1", "2"]}}
    metrics = [
        {"name": "g", "unit": "s", "gauge": {"dataPoints": [number]}},
        {"name": "h", "histogram": {"dataPoints": [histogram]}},
        {"name": "x", "exponentialHistogram": {"dataPoints": [exponential]}},
    ]
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    requests = {
        "traces": {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]},
        "logs": {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [record]}]}]},
        "metrics": {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": metrics}]}]},
    }
    seeds = []
    for number_of_signal, (name, signal) in enumerate(SIGNALS.items()):
        text = json.dumps(requests[name]).encode()
        seeds.append(bytes([len(SIGNALS) + number_of_signal]) + text)
        seeds.append(bytes([number_of_signal]) + signal.decode(text, Encoding.JSON).SerializeToString())
    return seeds


def _uploaded(*batches: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    messages = [
        FlightData(
            data_header=message.metadata.to_pybytes(),
            data_body=message.body.to_pybytes(),
        ).SerializeToString()
        for message in pa.ipc.MessageReader.open_stream(sink.getvalue())
    ]
    return b"".join(len(message).to_bytes(4, "little") + message for message in messages)


_EVENTS = Events(
    np.array([1, 2]),
    np.array([0, 1], np.uint8),
    np.array([0, 0], np.int32),
    scope_array([Scope("f", "app", "f.py", 1)]),
)
_QUERY = "SELECT * FROM perfetto_trace_chunks($1, 'both', $2, ?) -- ?"
TARGETS: Mapping[str, Target] = {
    "ticket": Target(
        read_a_ticket,
        [
            pack(
                QueryTicket(sql=_QUERY, parameters=b"", range_begin_ns=1, range_end_ns=2, query_id="0123456789abcdef")
            ),
            pack(CommandStatementQuery(query=_QUERY)),
            b"\x0a\x08SELECT 1",
        ],
    ),
    "command": Target(
        read_a_command,
        [
            pack(
                CommandGetTables(
                    catalog="c", db_schema_filter_pattern="s", table_name_filter_pattern="t", table_types=("TABLE",)
                )
            ),
            pack(CommandStatementIngest(table="blocks")),
        ],
    ),
    "session options": Target(read_session_options, [b"\n\x12\n\x06schema\x12\x08\n\x06public"]),
    "statement": Target(read_a_statement, [_QUERY.encode(), b'SELECT $$ ? $$, E\'\\\'\', /* /* */ */ "?""" FROM `a`']),
    "block": Target(read_a_block, [encode_block(_EVENTS)]),
    "upload": Target(read_an_upload, [_uploaded(batch) for batch in _RECORDING.tables().values()]),
    "export": Target(read_an_export, _exports()),
    "headers": Target(
        read_headers,
        [b"2026-01-01T10:00:00.5Z\n2026-01-01T11:00:00+02:00\ntrue\nfalse\ntrue\na=b; arrow_flight_session_id=0"],
    ),
    "credentials": Target(read_credentials, [f"Bearer {_TOKEN}".encode(), b"Basic cmVhZGVyOng="]),
    "chrome": Target(
        read_a_chrome_trace,
        [
            json.dumps(_CHROME).encode(),
            b'[{"ph":"M","name":"thread_name","args":{"name":"x"}}',
            b'{"m":{"a":[nan]},"traceEvents":[{"ph":"X","ts":1,"dur":inf,"args":{"a":0x1,"b":"\\p"}},{"ph":"B","ts":2,}',
            gzip.compress(json.dumps(_CHROME).encode()),
        ],
    ),
}
