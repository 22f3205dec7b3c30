"""What clients do: each piece of work is right or wrong by what the server answers, never by how long it takes."""

import hashlib
import itertools
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import adbc_driver_flightsql.dbapi as adbc
import adbc_driver_manager
import pyarrow as pa
import pytest
from pyarrow import flight

import flightsrv.client
from benchmarks import generator, uploads
from flightsrv.wire.codec import pack
from flightsrv.wire.flight_pb2 import (
    CancelFlightInfoRequest,
    FlightEndpoint,
    FlightInfo,
    SessionOptionValue,
    SetSessionOptionsRequest,
    Ticket,
)
from flightsrv.wire.flight_sql_pb2 import CommandGetDbSchemas, CommandGetSqlInfo, CommandStatementQuery
from tests.server.clients import CookieJar

ENDLESS = "SELECT count(*) FROM generate_series(1, 3000000) a(v), generate_series(1, 3000000) b(w) WHERE v * w % 7 = 9"
START_NS = 1_767_261_600_000_000_000


@dataclass
class Known:
    """Processes that are in the lake, each with its spans; what their traces look like, once somebody has seen one."""

    spans: dict[str, int] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def any_process(self, chance: random.Random) -> tuple[str, int]:
        with self.lock:
            process_id = chance.choice(list(self.spans))
            return process_id, self.spans[process_id]

    def check_digest(self, process_id: str, digest: str) -> None:
        """The same lake state gives the same bytes."""
        with self.lock:
            assert self.digests.setdefault(process_id, digest) == digest


class Client:
    """One of them; for one thread."""

    def __init__(self, url: str, known: Known, seed: int) -> None:
        self._url = url
        self._known = known
        self._chance = random.Random(seed)
        self._name = f"client-{seed}"
        self._numbers = itertools.count()

    def next_work(self) -> Callable[[], None]:
        """What it does next."""
        return self._chance.choice(
            [
                *(self.trace, self.trace, self.aggregate, self.prepared, self.ingest, self.metadata),
                *(self.session, self.mistakes, self.leave_a_trace, self.cancel_a_stream, self.cancel_by_info),
                *(self.deadline, self.disconnect),
            ]
        )

    # What polite clients do.

    def trace(self) -> None:
        """A whole trace, as anybody got it before."""
        process_id, _ = self._known.any_process(self._chance)
        digest = hashlib.blake2b()
        with flightsrv.client.connect(self._url) as client, client.trace_chunks(process_id) as chunks:
            for chunk in chunks:
                digest.update(chunk)
        self._known.check_digest(process_id, digest.hexdigest())

    def aggregate(self) -> None:
        """Counts that add up."""
        process_id, spans = self._known.any_process(self._chance)
        with self._adbc() as cursor:
            cursor.execute(
                f"SELECT name, count(*) AS n, max(duration) FROM process_spans('{process_id}', 'thread') GROUP BY name"
            )
            assert sum(cursor.fetch_arrow_table()["n"].to_pylist()) == spans

    def prepared(self) -> None:
        """A parameter in the argument of a function, for several rows of parameters."""
        process_id, spans = self._known.any_process(self._chance)
        with self._adbc() as cursor:
            rows = pa.record_batch({"1": [process_id] * 3})
            cursor.execute("SELECT count(*) AS n FROM process_spans($1, 'both')", rows)
            assert cursor.fetch_arrow_table()["n"].to_pylist() == [spans] * 3

    def ingest(self) -> None:
        """A process more, which is there afterwards; twice, which changes nothing."""
        process_id = f"{self._name}-{next(self._numbers)}"
        tables, spans = recording(process_id, threads=2, spans_per_thread=self._chance.randint(1, 200))
        with self._adbc() as cursor:
            for table, batch in tables + tables:
                assert cursor.adbc_ingest(table, batch, mode="append") == batch.num_rows
            cursor.execute(f"SELECT count(*) FROM process_spans('{process_id}', 'thread')")
            assert cursor.fetchone() == (spans,)
        with self._known.lock:
            self._known.spans[process_id] = spans

    def metadata(self) -> None:
        """What tools ask before their users can."""
        with adbc.connect(self._url, autocommit=True) as connection:
            assert connection.adbc_get_objects(depth="columns").read_all().num_rows == 1
            assert connection.adbc_get_table_schema("blocks").names[0] == "block_id"
        with flight.connect(self._url) as client:
            for command in (CommandGetSqlInfo(), CommandGetDbSchemas()):
                info = client.get_flight_info(flight.FlightDescriptor.for_command(pack(command)))
                assert client.do_get(info.endpoints[0].ticket).read_all().num_rows

    def session(self) -> None:
        """A time range for all queries of a session, in which there is nothing."""
        process_id, spans = self._known.any_process(self._chance)
        count = f"SELECT count(*) AS n FROM process_spans('{process_id}', 'thread')"
        # Not by ADBC, which forgets the cookie of one session in a thousand: its driver may take the end of the call
        # that gives it for a cancelled one.
        with flight.connect(self._url, middleware=[CookieJar()]) as client:
            for end, expected in (
                (SessionOptionValue(string_value="2000-01-01T00:00:00Z"), 0),
                (SessionOptionValue(), spans),
            ):
                request = SetSessionOptionsRequest(session_options={"query_range_end": end})
                list(client.do_action(("SetSessionOptions", request.SerializeToString())))
                info = self._info(client, count)
                assert client.do_get(info.endpoints[0].ticket).read_all()["n"].to_pylist() == [expected]

    def mistakes(self) -> None:
        """Each is refused, with a reason."""
        wrong = self._chance.choice(
            [
                "SELEC 1",
                "SELECT * FROM view_instance('fibers', 'x')",
                "CREATE TABLE t AS SELECT 1",
                "SELECT length(repeat('x', 2000000000))",
                "SELECT " + "(" * 20_000,
            ]
        )
        with (
            flightsrv.client.connect(self._url) as client,
            pytest.raises(flightsrv.client.InvalidRequest, match=r"\w"),
        ):
            client.query(wrong)

    # What others do.

    def leave_a_trace(self) -> None:
        """After the first chunk."""
        process_id, _ = self._known.any_process(self._chance)
        with flightsrv.client.connect(self._url) as client, client.trace_chunks(process_id) as chunks:
            next(chunks)

    def cancel_a_stream(self) -> None:
        """While the server computes for ever."""
        with flight.connect(self._url) as client:
            reader = client.do_get(self._info(client, ENDLESS).endpoints[0].ticket)
            self._wait_a_little()
            reader.cancel()

    def cancel_by_info(self) -> None:
        """From another connection."""
        with flight.connect(self._url) as client, flight.connect(self._url) as other:
            ticket = self._info(client, ENDLESS).endpoints[0].ticket
            reader = client.do_get(ticket)
            self._wait_a_little()
            request = CancelFlightInfoRequest(
                info=FlightInfo(endpoint=(FlightEndpoint(ticket=Ticket(ticket=ticket.ticket)),))
            )
            assert len(list(other.do_action(("CancelFlightInfo", request.SerializeToString())))) == 1
            with pytest.raises(flight.FlightCancelledError):
                list(reader)

    def deadline(self) -> None:
        """The client's time is up before there is anything."""
        with flight.connect(self._url) as client:
            options = flight.FlightCallOptions(timeout=self._chance.uniform(0.01, 0.3))
            with pytest.raises(flight.FlightTimedOutError):
                list(client.do_get(self._info(client, ENDLESS).endpoints[0].ticket, options))

    def disconnect(self) -> None:
        """In the middle of two streams."""
        process_id, _ = self._known.any_process(self._chance)
        client = flight.connect(self._url)
        readers = [
            client.do_get(self._info(client, sql).endpoints[0].ticket)
            for sql in (ENDLESS, f"SELECT * FROM process_spans('{process_id}', 'thread')")
        ]
        self._wait_a_little()
        client.close()
        del readers

    @contextmanager
    def _adbc(self) -> Iterator[adbc.Cursor]:
        with adbc.connect(self._url, autocommit=True) as connection, connection.cursor() as cursor:
            yield cursor

    def _info(self, client: flight.FlightClient, sql: str) -> flight.FlightInfo:
        return client.get_flight_info(flight.FlightDescriptor.for_command(pack(CommandStatementQuery(query=sql))))

    def _wait_a_little(self) -> None:
        threading.Event().wait(self._chance.uniform(0, 0.3))


def is_busy(error: BaseException) -> bool:
    """Whether the server sent somebody away because it has too much to do, as it may."""
    return isinstance(error, flightsrv.client.Unavailable | flight.FlightUnavailableError) or (
        isinstance(error, adbc_driver_manager.Error) and "try again later" in str(error)
    )


def recording(process_id: str, *, threads: int, spans_per_thread: int) -> tuple[list[tuple[str, pa.RecordBatch]], int]:
    """A process as record batches by table, in the order in which they are to be sent; and the number of its spans."""
    streams = uploads.thread_streams(process_id, threads)
    tables = uploads.introduction(process_id, streams, START_NS)
    for number, stream in enumerate(streams):
        events = generator.thread_events(spans_per_thread, number)
        tables.append(uploads.blocks(list(uploads.cut(stream, events, max_events=4096))))
    return tables, threads * spans_per_thread
