"""A token that is limited to some processes: there are no others, whatever its owner tries."""

from collections.abc import Iterator
from contextlib import closing

import pyarrow as pa
import pytest
from pyarrow import flight

from flightsrv import telemetry
from flightsrv.telemetry import Process, processes_batch, streams_batch, thread_stream
from flightsrv.wire.codec import pack, unpack
from flightsrv.wire.flight_sql_pb2 import (
    ActionCreatePreparedStatementRequest,
    ActionCreatePreparedStatementResult,
    CommandPreparedStatementQuery,
    CommandStatementIngest,
    CommandStatementQuery,
)
from flightsrv.wire.ticket_pb2 import QueryTicket
from tests.policy.auth.conftest import Guarded
from tests.policy.auth.test_roles import APPEND, RANGE, bearer
from tests.server.clients import descriptor
from tests.server.telemetry import START_NS, Recording


class Caller:
    """Somebody with a token."""

    def __init__(self, guarded: Guarded, name: str) -> None:
        self._client = flight.connect(guarded.url)
        self._options = bearer(guarded.tokens[name])

    def ticket(self, sql: str) -> flight.Ticket:
        info = self._client.get_flight_info(descriptor(CommandStatementQuery(query=sql)), self._options)
        return info.endpoints[0].ticket

    def rows(self, ticket: flight.Ticket) -> pa.Table:
        return self._client.do_get(ticket, self._options).read_all()

    def query(self, sql: str) -> pa.Table:
        return self.rows(self.ticket(sql))

    def query_prepared(self, sql: str, values: pa.RecordBatch) -> pa.Table:
        request = ("CreatePreparedStatement", pack(ActionCreatePreparedStatementRequest(query=sql)))
        (answer,) = self._client.do_action(request, self._options)
        prepared = unpack(answer.body.to_pybytes())
        assert isinstance(prepared, ActionCreatePreparedStatementResult)
        command = descriptor(
            CommandPreparedStatementQuery(prepared_statement_handle=prepared.prepared_statement_handle)
        )
        writer, reader = self._client.do_put(command, values.schema, self._options)
        with writer:
            writer.write_batch(values)
            writer.done_writing()
            reader.read()
        return self.rows(self._client.get_flight_info(command, self._options).endpoints[0].ticket)

    def ingest(self, table: str, rows: pa.RecordBatch) -> None:
        command = descriptor(CommandStatementIngest(table=table, table_definition_options=APPEND))
        writer, reader = self._client.do_put(command, rows.schema, self._options)
        with writer:
            writer.write_batch(rows)
            writer.done_writing()
            reader.read()

    def close(self) -> None:
        self._client.close()


@pytest.fixture
def reader(guarded: Guarded) -> Iterator[Caller]:
    """May read one process."""
    with closing(Caller(guarded, "reader of mine")) as caller:
        yield caller


@pytest.fixture
def writer(guarded: Guarded) -> Iterator[Caller]:
    """May send telemetry of one process."""
    with closing(Caller(guarded, "writer of mine")) as caller:
        yield caller


@pytest.fixture
def admin(guarded: Guarded) -> Iterator[Caller]:
    """May do everything; has materialized what both processes recorded."""
    with closing(Caller(guarded, "admin")) as caller:
        for recording in (guarded.mine, guarded.others):
            caller.query(f"SELECT * FROM materialize_partitions('thread_spans', '{recording.stream_id}', {RANGE})")
        yield caller


@pytest.mark.parametrize("table", ["processes", "streams", "blocks", "list_partitions()"])
def test_tables_have_rows_of_one_process(table: str, reader: Caller, admin: Caller, guarded: Guarded) -> None:
    """However they are asked for."""
    mine, others = guarded.mine.process_id, guarded.others.process_id
    assert {mine, others} <= set(admin.query(f"SELECT process_id FROM {table}")["process_id"].to_pylist())
    assert set(reader.query(f"SELECT process_id FROM {table}")["process_id"].to_pylist()) == {mine}
    for sql in (
        f"SELECT * FROM {table} WHERE process_id = '{others}'",
        f"SELECT * FROM {table} a JOIN {table} b ON a.process_id <> b.process_id",
        f"WITH x AS (SELECT * FROM {table}) SELECT * FROM x WHERE process_id <> '{mine}'",
        f"SELECT 1 WHERE EXISTS (SELECT 1 FROM {table} WHERE process_id = '{others}')",
    ):
        assert reader.query(sql).num_rows == 0


FUNCTIONS = [
    "view_instance('thread_spans', '{stream_id}')",
    "view_instance('async_events', '{process_id}')",
    "process_spans('{process_id}', 'both')",
    "perfetto_trace_chunks('{process_id}', 'both', " + RANGE + ")",
]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_know_one_process(function: str, reader: Caller, admin: Caller, guarded: Guarded) -> None:
    """For another one they say what they say of one that is not there."""

    def call(recording: Recording) -> str:
        return "SELECT * FROM " + function.format(process_id=recording.process_id, stream_id=recording.stream_id)

    def refusal(sql: str) -> str:
        with pytest.raises(pa.ArrowKeyError) as refused:
            reader.query(sql)
        return str(refused.value)

    reader.query(call(guarded.mine))
    admin.query(call(guarded.others))
    nowhere = Recording()
    others = refusal(call(guarded.others))
    for was, is_now in ((nowhere.process_id, guarded.others.process_id), (nowhere.stream_id, guarded.others.stream_id)):
        others = others.replace(is_now, was)
    assert others == refusal(call(nowhere))


@pytest.mark.parametrize("function", ["process_spans($1, 'both')", "view_instance('async_events', $1)"])
def test_parameters_reach_no_other_process(function: str, reader: Caller, guarded: Guarded) -> None:
    """They are checked as text in the statement is."""
    mine, others = (pa.record_batch({"1": [r.process_id]}) for r in (guarded.mine, guarded.others))
    reader.query_prepared(f"SELECT * FROM {function}", mine)
    with pytest.raises(pa.ArrowKeyError, match="is unknown"):
        reader.query_prepared(f"SELECT * FROM {function}", others)


def test_a_ticket_of_somebody_else_opens_nothing(reader: Caller, admin: Caller, guarded: Guarded) -> None:
    """A ticket says what to do, the token of whoever brings it what may be done."""
    counted = admin.ticket("SELECT count(*) AS n FROM processes")
    assert admin.rows(counted)["n"][0].as_py() >= 2
    assert reader.rows(counted)["n"][0].as_py() == 1
    spans = f"SELECT * FROM process_spans('{guarded.others.process_id}', 'both')"
    for ticket in (admin.ticket(spans), flight.Ticket(pack(QueryTicket(sql=spans, query_id="0123456789abcdef")))):
        with pytest.raises(pa.ArrowKeyError, match="is unknown"):
            reader.rows(ticket)
    with pytest.raises(flight.FlightUnauthorizedError, match="query_log is for administrators"):
        reader.rows(admin.ticket("SELECT * FROM query_log()"))


def test_a_writer_adds_to_its_process(writer: Caller, reader: Caller, guarded: Guarded) -> None:
    """Everything may be sent again, and a new stream with its blocks may come."""
    for table, rows in guarded.mine.tables().items():
        writer.ingest(table, rows)
    recording = Recording()
    stream = thread_stream(recording.stream_id, guarded.mine.process_id, "second", 8)
    writer.ingest("streams", streams_batch([stream]))
    writer.ingest("blocks", telemetry.blocks_batch(list(telemetry.cut_blocks(stream, recording.events))))
    found = reader.query(f"SELECT count(*) AS n FROM view_instance('thread_spans', '{recording.stream_id}')")
    assert found["n"].to_pylist() == [2]


def test_a_writer_makes_no_other_process(writer: Caller, guarded: Guarded) -> None:
    """Neither one that is there nor a new one, and it cannot tell which is which."""
    said = []
    for process_id in (guarded.others.process_id, Recording().process_id):
        rows = processes_batch([Process(process_id, 10**9, START_NS, 0)])
        with pytest.raises(flight.FlightUnauthorizedError, match="is not among those that you may write to") as refused:
            writer.ingest("processes", rows)
        said.append(str(refused.value).replace(process_id, ""))
    assert said[0] == said[1]


def test_a_writer_adds_nothing_to_other_processes(writer: Caller, admin: Caller, guarded: Guarded) -> None:
    """Its process and their streams are unknown; and a stream of theirs cannot be made its own."""
    others = guarded.others
    before = admin.query(f"SELECT * FROM streams WHERE process_id = '{others.process_id}'")
    stream = thread_stream(Recording().stream_id, others.process_id, "intruder", 9)
    with pytest.raises(pa.ArrowInvalid, match="which is unknown: send it first"):
        writer.ingest("streams", streams_batch([stream]))
    with pytest.raises(pa.ArrowInvalid, match="which is unknown: send it first"):
        writer.ingest("blocks", others.blocks)
    taken = thread_stream(others.stream_id, guarded.mine.process_id, "taken over", 9)
    with pytest.raises(flight.FlightUnauthorizedError, match="its id is taken") as refused:
        writer.ingest("streams", streams_batch([taken]))
    assert others.process_id not in str(refused.value)
    assert admin.query(f"SELECT * FROM streams WHERE process_id = '{others.process_id}'") == before


def test_a_batch_with_one_row_too_much_is_refused_whole(writer: Caller, reader: Caller, guarded: Guarded) -> None:
    """Nothing of it is stored."""
    stream_id = Recording().stream_id
    rows = streams_batch(
        [
            thread_stream(stream_id, guarded.mine.process_id, "fine", 10),
            thread_stream(Recording().stream_id, guarded.others.process_id, "not fine", 11),
        ]
    )
    with pytest.raises(pa.ArrowInvalid, match="which is unknown"):
        writer.ingest("streams", rows)
    assert reader.query(f"SELECT * FROM streams WHERE stream_id = '{stream_id}'").num_rows == 0
