"""Options of a session, by clients that keep cookies and by one that does not."""

import json
from collections.abc import Iterator
from typing import Any

import adbc_driver_flightsql.dbapi as adbc
import adbc_driver_manager
import pytest
from adbc_driver_flightsql import DatabaseOptions
from pyarrow import flight

from flightsrv.policy.headers import CallOptions
from flightsrv.policy.sessions import COOKIE, Sessions, call_options, new_session_id, session_id_in
from flightsrv.server.lifecycle import RunningServer
from flightsrv.wire.codec import decode, pack
from flightsrv.wire.flight_pb2 import (
    CloseSessionRequest,
    CloseSessionResult,
    GetSessionOptionsRequest,
    GetSessionOptionsResult,
    SessionOptionValue,
    SetSessionOptionsRequest,
    SetSessionOptionsResult,
)
from flightsrv.wire.flight_sql_pb2 import CommandStatementQuery, TicketStatementQuery
from tests.server.clients import CookieJar, PyarrowClient, descriptor
from tests.server.clients import call_options as headers_of
from tests.server.telemetry import Recording

INNER_ENDS = "2026-01-01T10:00:00.000000061Z"
DEFAULTS = {
    "catalog": SessionOptionValue(string_value="datafusion"),
    "schema": SessionOptionValue(string_value="public"),
}


@pytest.fixture
def session(server: RunningServer) -> Iterator[flight.FlightClient]:
    """A connection that keeps cookies."""
    with flight.connect(server.url, middleware=[CookieJar()]) as connected:
        yield connected


@pytest.fixture(scope="module")
def recording(server: RunningServer) -> Recording:
    """A process in the lake."""
    made = Recording()
    for table, rows in made.tables().items():
        PyarrowClient(server.url).ingest(table, rows)
    return made


def act(connection: flight.FlightClient, name: str, request: Any, result: type[Any]) -> Any:
    (answer,) = connection.do_action((name, request.SerializeToString()))
    return decode(result, answer.body.to_pybytes())


def set_options(
    connection: flight.FlightClient, **options: SessionOptionValue
) -> dict[str, SetSessionOptionsResult.Error]:
    answer = act(
        connection, "SetSessionOptions", SetSessionOptionsRequest(session_options=options), SetSessionOptionsResult
    )
    return dict(answer.errors)


def get_options(connection: flight.FlightClient) -> dict[str, SessionOptionValue]:
    answer = act(connection, "GetSessionOptions", GetSessionOptionsRequest(), GetSessionOptionsResult)
    return dict(answer.session_options)


def query(connection: flight.FlightClient, sql: str, **headers: str) -> list[dict[str, Any]]:
    options = headers_of(headers)
    info = connection.get_flight_info(descriptor(CommandStatementQuery(query=sql)), options)
    rows: list[dict[str, Any]] = connection.do_get(info.endpoints[0].ticket, options).read_all().to_pylist()
    return rows


def test_options_are_set_told_and_unset(session: flight.FlightClient) -> None:
    """With the types that they were set with; places are told even if nobody set them."""
    assert get_options(session) == DEFAULTS
    strict, begin = SessionOptionValue(bool_value=True), SessionOptionValue(string_value=INNER_ENDS)
    assert set_options(session, trace_strict=strict, query_range_begin=begin) == {}
    assert get_options(session) == {**DEFAULTS, "trace_strict": strict, "query_range_begin": begin}
    assert set_options(session, query_range_begin=SessionOptionValue(), schema=SessionOptionValue()) == {}
    assert get_options(session) == {**DEFAULTS, "trace_strict": strict}


def test_time_range_of_a_session_limits_views(session: flight.FlightClient, recording: Recording) -> None:
    """A header counts more than an option, whoever asks for the rows with the ticket."""
    spans = f"SELECT name FROM view_instance('thread_spans', '{recording.stream_id}')"
    set_options(session, query_range_begin=SessionOptionValue(string_value=INNER_ENDS))
    assert query(session, spans) == [{"name": "outer"}]
    assert len(query(session, spans, query_range_begin="2026-01-01T00:00:00Z")) == 2
    sql_as_ticket = flight.Ticket(pack(TicketStatementQuery(statement_handle=spans.encode())))
    assert session.do_get(sql_as_ticket).read_all().num_rows == 1


def test_schema_of_a_session_is_where_names_are_looked_for(session: flight.FlightClient) -> None:
    """Others are found by their full names."""
    set_options(
        session,
        catalog=SessionOptionValue(string_value="datafusion"),
        schema=SessionOptionValue(string_value="information_schema"),
    )
    assert query(session, "SELECT count(*) > 0 AS found FROM tables") == [{"found": True}]
    assert query(session, "SELECT count(*) AS n FROM public.processes WHERE false") == [{"n": 0}]
    info = session.get_flight_info(descriptor(CommandStatementQuery(query="SELECT table_name FROM tables")))
    with pytest.raises(ValueError, match="processes"):
        query(session, "SELECT * FROM processes")
    set_options(session, schema=SessionOptionValue(string_value="public"))
    assert session.do_get(info.endpoints[0].ticket).read_all().num_rows > 0


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("speed", SessionOptionValue(string_value="11"), SetSessionOptionsResult.INVALID_NAME),
        ("catalog", SessionOptionValue(string_value="elsewhere"), SetSessionOptionsResult.INVALID_VALUE),
        ("schema", SessionOptionValue(string_value="'; DROP"), SetSessionOptionsResult.INVALID_VALUE),
        ("schema", SessionOptionValue(int64_value=1), SetSessionOptionsResult.INVALID_VALUE),
        ("query_range_begin", SessionOptionValue(string_value="yesterday"), SetSessionOptionsResult.INVALID_VALUE),
        (
            "query_range_begin",
            SessionOptionValue(string_value=" " * 1000 + "2026-01-01T10:00:00Z"),
            SetSessionOptionsResult.INVALID_VALUE,
        ),
        ("query_range_begin", SessionOptionValue(int64_value=0), SetSessionOptionsResult.INVALID_VALUE),
        ("query_range_end", SessionOptionValue(bool_value=True), SetSessionOptionsResult.INVALID_VALUE),
        ("trace_strict", SessionOptionValue(double_value=1.0), SetSessionOptionsResult.INVALID_VALUE),
        ("trace_strict", SessionOptionValue(string_value="perhaps"), SetSessionOptionsResult.INVALID_VALUE),
        (
            "preserve_dictionary",
            SessionOptionValue(string_list_value=SessionOptionValue.StringListValue()),
            SetSessionOptionsResult.INVALID_VALUE,
        ),
    ],
)
def test_options_that_mean_nothing_are_refused_one_by_one(
    session: flight.FlightClient, name: str, value: SessionOptionValue, error: int
) -> None:
    """What came with them is set."""
    assert set_options(session, **{name: value, "trace_progress": SessionOptionValue(string_value="true")}) == {
        name: SetSessionOptionsResult.Error(value=error)
    }
    assert get_options(session) == {**DEFAULTS, "trace_progress": SessionOptionValue(string_value="true")}


def test_time_range_that_ends_before_it_begins_is_not_set(session: flight.FlightClient) -> None:
    """The one before it stays; both limits may move at once."""
    begin, end = (
        SessionOptionValue(string_value="2026-01-01T00:00:00Z"),
        SessionOptionValue(string_value="2026-01-02T00:00:00Z"),
    )
    before = SessionOptionValue(string_value="2025-01-01T00:00:00Z")
    assert set_options(session, query_range_begin=begin, query_range_end=end) == {}
    assert set_options(session, query_range_end=before) == {
        "query_range_end": SetSessionOptionsResult.Error(value=SetSessionOptionsResult.INVALID_VALUE)
    }
    assert get_options(session) == {**DEFAULTS, "query_range_begin": begin, "query_range_end": end}
    assert set_options(session, query_range_begin=before, query_range_end=before) == {}


def test_closed_session_is_forgotten(session: flight.FlightClient) -> None:
    """The cookie may be used for a new one."""
    set_options(session, trace_strict=SessionOptionValue(string_value="true"))
    closed = act(session, "CloseSession", CloseSessionRequest(), CloseSessionResult)
    assert closed.status == CloseSessionResult.CLOSED
    assert get_options(session) == DEFAULTS


def test_sessions_do_not_see_each_other(server: RunningServer, session: flight.FlightClient) -> None:
    """Nor does one without cookies see any."""
    set_options(session, trace_strict=SessionOptionValue(string_value="true"))
    with flight.connect(server.url, middleware=[CookieJar()]) as other:
        assert get_options(other) == DEFAULTS
    with flight.connect(server.url) as forgetful:
        set_options(forgetful, trace_strict=SessionOptionValue(string_value="true"))
        assert get_options(forgetful) == DEFAULTS


def test_session_that_nobody_uses_is_forgotten() -> None:
    """In the end."""
    now_s = 0.0
    sessions = Sessions(clock_s=lambda: now_s)
    sessions.put("s", {"trace_strict": True})
    now_s = 11 * 3600.0
    assert sessions.get("s") == {"trace_strict": True}
    now_s = 24 * 3600.0
    assert sessions.get("s") is None


@pytest.mark.parametrize(
    ("cookies", "is_found"),
    [
        (["{}={}"], True),
        (["a=b; {}={}; c=d"], True),
        (["a=b", '$Version="1"; {}="{}"'], True),
        (["{}={}x"], False),
        (["{}="], False),
        (["{}"], False),
        ([";;=;"], False),
        ([], False),
    ],
)
def test_session_is_found_among_cookies(cookies: list[str], is_found: bool) -> None:
    """In whichever way clients write them."""
    session_id = new_session_id()
    headers = {"cookie": [cookie.format(COOKIE, session_id) for cookie in cookies]}
    assert session_id_in(headers) == (session_id if is_found else None)


def test_headers_count_more_than_options() -> None:
    """Each for itself."""
    session = {"trace_strict": True, "preserve_dictionary": True, "schema": "information_schema"}
    assert call_options(session, {"trace_strict": ["false"]}) == CallOptions(
        preserve_dictionary=True, db_schema="information_schema"
    )


# ---- The same by ADBC


@pytest.fixture
def dbapi(server: RunningServer) -> Iterator[adbc.Connection]:
    """A connection that keeps cookies."""
    kwargs = {DatabaseOptions.WITH_COOKIE_MIDDLEWARE.value: "true"}
    with adbc.connect(server.url, db_kwargs=kwargs, autocommit=True) as connected:
        yield connected


def test_adbc_sets_where_names_are_looked_for(dbapi: adbc.Connection) -> None:
    """By its own names for that."""
    assert (dbapi.adbc_current_catalog, dbapi.adbc_current_db_schema) == ("datafusion", "public")
    dbapi.adbc_current_db_schema = "information_schema"
    assert dbapi.adbc_current_db_schema == "information_schema"
    with dbapi.cursor() as cursor:
        cursor.execute("SELECT count(*) > 0 FROM schemata")
        assert cursor.fetchall() == [(True,)]
    with pytest.raises(adbc_driver_manager.Error):
        dbapi.adbc_current_catalog = "elsewhere"


def test_adbc_sets_the_time_range(dbapi: adbc.Connection, recording: Recording) -> None:
    """By options of the session, which it tells as JSON."""
    prefix = "adbc.flight.sql.session.option"
    dbapi.adbc_connection.set_options(
        **{f"{prefix}.query_range_begin": INNER_ENDS, f"{prefix}bool.trace_strict": "true"}
    )
    with dbapi.cursor() as cursor:
        cursor.execute("SELECT name FROM process_spans(?, 'both')", (recording.process_id,))
        assert cursor.fetchall() == [("outer",)]
    assert json.loads(dbapi.adbc_connection.get_option(f"{prefix}s")) == {
        "catalog": "datafusion",
        "schema": "public",
        "query_range_begin": INNER_ENDS,
        "trace_strict": True,
    }
    dbapi.adbc_connection.set_options(**{f"{prefix}erase.query_range_begin": ""})
    with dbapi.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM process_spans(?, 'both')", (recording.process_id,))
        assert cursor.fetchall() == [(2,)]
