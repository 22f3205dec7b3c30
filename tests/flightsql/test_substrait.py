"""Substrait plans, by ADBC and bare; what they may not do."""

import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import adbc_driver_flightsql.dbapi as adbc
import adbc_driver_manager
import datafusion
import pyarrow as pa
import pytest
from datafusion import substrait
from pyarrow import flight

from flightsrv.flightsql.sql_info import SUBSTRAIT_VERSION
from flightsrv.server.lifecycle import RunningServer
from flightsrv.wire.codec import pack, unpack
from flightsrv.wire.flight_sql_pb2 import (
    ActionCreatePreparedStatementResult,
    ActionCreatePreparedSubstraitPlanRequest,
    CommandPreparedStatementQuery,
    CommandStatementSubstraitPlan,
    SubstraitPlan,
)
from tests.server.clients import PyarrowClient, descriptor, put
from tests.server.telemetry import Recording
from udtf.lake.schemas import PROCESSES, STREAMS

QUERY = """
    SELECT s.properties['thread-name'] AS thread, count(*) AS n FROM processes p JOIN streams s USING (process_id)
    WHERE p.process_id = '{}' GROUP BY 1
"""


@pytest.fixture(scope="module")
def recording(server: RunningServer) -> Recording:
    """A process in the lake."""
    made = Recording()
    for table, rows in made.tables().items():
        PyarrowClient(server.url).ingest(table, rows)
    return made


@pytest.fixture
def dbapi(server: RunningServer) -> Iterator[adbc.Connection]:
    """A connection of ADBC to the real server."""
    with adbc.connect(server.url, autocommit=True) as connected:
        yield connected


def plan_of(sql: str, **tables: pa.Schema) -> bytes:
    """The Substrait plan of a query, made where our tables are known by their schemas only."""
    context = datafusion.SessionContext(datafusion.SessionConfig().set("datafusion.sql_parser.dialect", "postgresql"))
    for name, schema in {"processes": PROCESSES, "streams": STREAMS, **tables}.items():
        context.from_arrow(schema.empty_table(), name)
    encoded: bytes = substrait.Serde.serialize_bytes(sql, context)
    return encoded


def message(*fields: tuple[int, bytes]) -> bytes:
    """A protobuf message made by hand, of fields that are messages or text."""
    return b"".join(varint(number << 3 | 2) + varint(len(value)) + value for number, value in fields)


def varint(number: int) -> bytes:
    """A number below 2 to the 14th, as protobuf has it."""
    return bytes([number]) if number < 128 else bytes([number & 0x7F | 0x80, number >> 7])


def test_adbc_runs_a_plan(dbapi: adbc.Connection, recording: Recording) -> None:
    """At once and prepared."""
    plan = plan_of(QUERY.format(recording.process_id))
    with dbapi.cursor() as cursor:
        cursor.execute(plan)
        assert cursor.fetchall() == [("main", 1)]
    with dbapi.cursor() as cursor:
        cursor.adbc_statement.set_substrait_plan(plan)
        cursor.adbc_statement.prepare()
        stream, _ = cursor.adbc_statement.execute_query()
        table = pa.RecordBatchReader.from_stream(stream).read_all()
        assert table.to_pylist() == [{"thread": "main", "n": 1}]


def test_schemas_of_all_steps_are_equal(connection: flight.FlightClient, recording: Recording) -> None:
    """As those of statements are."""
    plan = SubstraitPlan(plan=plan_of(QUERY.format(recording.process_id)))
    request = ("CreatePreparedSubstraitPlan", pack(ActionCreatePreparedSubstraitPlanRequest(plan=plan)))
    (result,) = connection.do_action(request)
    created = unpack(result.body.to_pybytes())
    assert isinstance(created, ActionCreatePreparedStatementResult)
    assert created.is_update is False
    assert pa.ipc.read_schema(pa.py_buffer(created.parameter_schema)) == pa.schema([])
    prepared = pa.ipc.read_schema(pa.py_buffer(created.dataset_schema))
    for command in (
        CommandStatementSubstraitPlan(plan=plan),
        CommandPreparedStatementQuery(prepared_statement_handle=created.prepared_statement_handle),
    ):
        info = connection.get_flight_info(descriptor(command))
        table = connection.do_get(info.endpoints[0].ticket).read_all()
        schemas = [prepared, info.schema, connection.get_schema(descriptor(command)).schema, table.schema]
        assert all(schema.equals(prepared) for schema in schemas)
        assert table.to_pylist() == [{"thread": "main", "n": 1}]


def test_version_that_is_told_is_the_engines_own() -> None:
    """A client makes plans accordingly."""
    minor = int(SUBSTRAIT_VERSION.split(".")[1])
    assert bytes([0x10, minor]) + b"*\ndatafusion" in plan_of("SELECT 1")


def test_plan_takes_no_parameters(connection: flight.FlightClient) -> None:
    """It has no placeholders."""
    plan = SubstraitPlan(plan=plan_of("SELECT 1"))
    request = ("CreatePreparedSubstraitPlan", pack(ActionCreatePreparedSubstraitPlanRequest(plan=plan)))
    (result,) = connection.do_action(request)
    created = unpack(result.body.to_pybytes())
    assert isinstance(created, ActionCreatePreparedStatementResult)
    with pytest.raises(pa.ArrowInvalid, match="takes no parameters"):
        put(
            connection,
            CommandPreparedStatementQuery(prepared_statement_handle=created.prepared_statement_handle),
            pa.record_batch({"0": [1]}),
        )


def refusal(connection: flight.FlightClient, plan: bytes) -> str:
    """What the server says against a plan, by both ways that there are."""
    requests = (
        lambda: connection.get_flight_info(descriptor(CommandStatementSubstraitPlan(plan=SubstraitPlan(plan=plan)))),
        lambda: list(
            connection.do_action(
                (
                    "CreatePreparedSubstraitPlan",
                    pack(ActionCreatePreparedSubstraitPlanRequest(plan=SubstraitPlan(plan=plan))),
                )
            )
        ),
    )
    messages = []
    for request in requests:
        with pytest.raises(pa.ArrowInvalid) as refused:
            request()
        messages.append(str(refused.value).partition(". gRPC")[0])
        assert "Traceback" not in messages[-1]
    assert messages[0] == messages[1]
    return messages[0]


TEXT = message((12, b"\x10\x02"))  # required
COLUMNS = message((1, b"process_id"), (2, message((1, TEXT)) + b"\x18\x02"))
READ = message((1, message((2, COLUMNS), (7, message((1, b"processes"))))))


def rooted(relation: bytes) -> bytes:
    """A plan of one relation with one column."""
    return message((3, message((2, message((1, relation), (2, b"process_id"))))))


def test_plans_made_by_hand_are_plans(connection: flight.FlightClient, recording: Recording) -> None:
    """Those below are refused for what they do."""
    info = connection.get_flight_info(descriptor(CommandStatementSubstraitPlan(plan=SubstraitPlan(plan=rooted(READ)))))
    assert recording.process_id in connection.do_get(info.endpoints[0].ticket).read_all()["process_id"].to_pylist()


@pytest.mark.parametrize(
    "relation",
    [
        message((19, message((1, message((1, b"processes"))), (3, COLUMNS), (5, READ)))),
        message((20, message((1, message((1, b"stolen"))), (3, COLUMNS)))),
    ],
    ids=["write", "ddl"],
)
def test_plan_that_would_change_something_is_refused(connection: flight.FlightClient, relation: bytes) -> None:
    """Before anything happens."""
    assert "rel not supported" in refusal(connection, rooted(relation))


def test_no_plan_reads_a_file(connection: flight.FlightClient, tmp_path: Path) -> None:
    """A file that is named is looked for among the tables."""
    path = tmp_path / "secret.csv"
    path.write_text("process_id\nx\n")
    file = message((3, f"file://{path}".encode()))
    read = message((1, message((2, COLUMNS), (6, message((1, file))))))
    assert "No table named 'secret.csv'" in refusal(connection, rooted(read))


def test_a_plan_over_other_tables_is_refused(connection: flight.FlightClient, dbapi: adbc.Connection) -> None:
    """As a statement would be."""
    plan = plan_of("SELECT * FROM elsewhere", elsewhere=pa.schema([("a", pa.int64())]))
    assert "elsewhere" in refusal(connection, plan)
    with dbapi.cursor() as cursor, pytest.raises(adbc_driver_manager.ProgrammingError, match="elsewhere"):
        cursor.execute(plan)


def test_garbage_is_refused(connection: flight.FlightClient) -> None:
    """No plan, an empty one, and a plan with some of its bytes changed, also where the engine trips over them."""
    with pytest.raises(pa.ArrowInvalid, match="expected a Substrait plan"):
        connection.get_flight_info(descriptor(CommandStatementSubstraitPlan()))
    assert refusal(connection, b"")
    assert refusal(connection, b"garbage")
    assert "refers to what is not in it" in refusal(connection, message((3, message((2, b"")))))
    good = plan_of(QUERY.format("p"))
    chance = random.Random(1)
    for _ in range(300):
        plan = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            plan[chance.randrange(len(plan))] = chance.randrange(256)
        with suppress(pa.ArrowInvalid):
            info = connection.get_flight_info(
                descriptor(CommandStatementSubstraitPlan(plan=SubstraitPlan(plan=bytes(plan))))
            )
            connection.do_get(info.endpoints[0].ticket).read_all()
