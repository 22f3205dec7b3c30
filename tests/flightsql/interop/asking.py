"""All clients behind one face: a statement and its parameters in, rows out."""

import json
import os
import re
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import adbc_driver_flightsql
import adbc_driver_flightsql.dbapi as adbc
import adbc_driver_manager
import pandas as pd
import polars as pl
import pyarrow as pa

import flightsrv.client
from flightsrv.flightsql.parameters import parse_statement
from tests.flightsql.interop.packages import NODE, go_program, maven_jar, node_packages, python_packages
from tests.server.clients import PyarrowClient, Refused

PROGRAMS = Path(__file__).with_name("programs")

Row = dict[str, Any]
Value = str | int


_TIME = re.compile(r"\d{4}-\d\d-\d\dT\S+")


class Failed(Exception):
    """What a client heard of a failure."""


class Client(ABC):
    """Someone who asks a server at `url`; `cache` is a folder for what has to be installed."""

    @abstractmethod
    def __init__(self, url: str, cache: Path) -> None: ...

    @abstractmethod
    def ask(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        """The rows of a statement with `?` for its parameters; bytes may come in hexadecimal digits.

        Raises:
            Failed: the server refused it.
        """

    @abstractmethod
    def tables(self) -> list[str]:
        """The names of our tables, as the client lists them in its own way."""

    @abstractmethod
    def close(self) -> None:
        """Go away."""


class PyarrowFlight(Client):
    """`pyarrow.flight`, with commands packed by hand."""

    def __init__(self, url: str, cache: Path) -> None:
        self._client = PyarrowClient(url)

    def ask(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        try:
            table = self._client.query_prepared(sql, _batch(parameters)) if parameters else self._client.query(sql)
        except Refused as e:
            raise Failed(str(e)) from e
        rows: list[Row] = table.to_pylist()
        return rows

    def tables(self) -> list[str]:
        return _tables_of_information_schema(self)

    def close(self) -> None:
        pass


class OurClient(Client):
    """`flightsrv.client`."""

    def __init__(self, url: str, cache: Path) -> None:
        self._client = flightsrv.client.connect(url)

    def ask(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        try:
            rows: list[Row] = self._client.query(sql, parameters or None).to_pylist()
        except flightsrv.client.FlightsrvError as e:
            raise Failed(str(e)) from e
        return rows

    def tables(self) -> list[str]:
        return _tables_of_information_schema(self)

    def close(self) -> None:
        self._client.close()


class AdbcDbapi(Client):
    """ADBC by the DB-API of Python. It prepares whatever it runs."""

    def __init__(self, url: str, cache: Path) -> None:
        self._connection = adbc.connect(url, autocommit=True)

    def ask(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        with self._connection.cursor() as cursor:
            try:
                cursor.execute(sql, tuple(parameters))
                return self._rows(cursor)
            except adbc_driver_manager.Error as e:
                raise Failed(str(e)) from e

    def _rows(self, cursor: adbc.Cursor) -> list[Row]:
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def tables(self) -> list[str]:
        (catalog,) = self._connection.adbc_get_objects(depth="tables", db_schema_filter="public").read_all().to_pylist()
        (schema,) = catalog["catalog_db_schemas"]
        return [table["table_name"] for table in schema["db_schema_tables"]]

    def close(self) -> None:
        self._connection.close()


class PolarsOverAdbc(AdbcDbapi):
    """Data frames of polars."""

    def ask(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        options = {"parameters": tuple(parameters)} if parameters else None
        try:
            return pl.read_database(sql, self._connection, execute_options=options).to_dicts()
        except adbc_driver_manager.Error as e:
            raise Failed(str(e)) from e


class PandasOverAdbc(AdbcDbapi):
    """Data frames of pandas, which has no parameters over ADBC."""

    def ask(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        try:
            frame = pd.read_sql(_written_out(sql, parameters), self._connection)
        except (adbc_driver_manager.Error, pd.errors.DatabaseError) as e:
            raise Failed(str(e)) from e
        rows: list[Row] = frame.to_dict("records")
        return rows


class AdbcLowLevel(Client):
    """ADBC without the DB-API: a statement runs as it is, and is prepared only if it has parameters."""

    def __init__(self, url: str, cache: Path) -> None:
        self._database = adbc_driver_flightsql.connect(url)
        self._connection = adbc_driver_manager.AdbcConnection(self._database)

    def ask(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        with adbc_driver_manager.AdbcStatement(self._connection) as statement:
            try:
                statement.set_sql_query(sql)
                if parameters:
                    statement.prepare()
                    statement.bind(_batch(parameters))
                stream, _ = statement.execute_query()
                rows: list[Row] = pa.RecordBatchReader.from_stream(stream).read_all().to_pylist()
            except (adbc_driver_manager.Error, pa.ArrowException) as e:
                raise Failed(str(e)) from e
            return rows

    def tables(self) -> list[str]:
        found = self._connection.get_objects(
            adbc_driver_manager.GetObjectsDepth.TABLES, db_schema="public", table_types=["BASE TABLE"]
        )
        (catalog,) = pa.RecordBatchReader.from_stream(found).read_all().to_pylist()
        (schema,) = catalog["catalog_db_schemas"]
        return [table["table_name"] for table in schema["db_schema_tables"]]

    def close(self) -> None:
        self._connection.close()
        self._database.close()


class Program(Client):
    """A client that runs in a process of its own, and reads and writes lines of JSON."""

    def __init__(self, command: Sequence[str], environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )

    def ask(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        return self.request(ask="rows", sql=sql, parameters=list(parameters))

    def tables(self) -> list[str]:
        return self.request(ask="tables")

    def request(self, **request: Any) -> list[Any]:
        """Send a request and read what comes back."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise Failed(answer["error"])
        rows: list[Any] = answer["rows"]
        return rows

    def close(self) -> None:
        self._process.communicate()


class SqlalchemyOverFlightsqlDbapi(Program):
    """SQLAlchemy 1.4 with the dialect of flightsql-dbapi, whose parameters are unions."""

    def __init__(self, url: str, cache: Path) -> None:
        folder = python_packages(cache / "flightsql-dbapi", ["flightsql-dbapi>=0.2.2,<0.3", "SQLAlchemy>=1.4,<2"])
        program = str(PROGRAMS / "flightsql_dbapi.py")
        super().__init__([sys.executable, program, _port(url)], {"PYTHONPATH": str(folder)})


class _NodeClient(Program):
    """Clients without parameters."""

    package: str
    program: str

    def __init__(self, url: str, cache: Path) -> None:
        folder = node_packages(cache / self.program, [self.package])
        program = str(PROGRAMS / f"{self.program}.mjs")
        super().__init__([str(NODE), program, _port(url), str(folder)], {})

    def ask(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        return super().ask(_written_out(sql, parameters))


class GizmosqlClient(_NodeClient):
    """`@gizmodata/gizmosql-client`: JavaScript throughout, with messages of 4 MiB at most."""

    package, program = "@gizmodata/gizmosql-client@1.4", "gizmosql_client"


class FlightSqlClient(_NodeClient):
    """`@lakehouse-rs/flight-sql-client`: the client of Rust, in Node."""

    package, program = "@lakehouse-rs/flight-sql-client@0.0.10", "flight_sql_client"


class ArrowGo(Program):
    """The client of arrow-go. Parameters that stand for times are text."""

    def __init__(self, url: str, cache: Path) -> None:
        super().__init__([str(go_program(cache / "arrow-go", PROGRAMS / "arrow_go")), _port(url)], {})


class Jdbc(Program):
    """The JDBC driver of Arrow, as DBeaver and DataGrip have it. It prepares whatever it runs, and binds milliseconds
    where a statement expects nanoseconds: so times are written out."""

    def __init__(self, url: str, cache: Path) -> None:
        jar = maven_jar(cache / "jdbc", "org.apache.arrow:flight-sql-jdbc-driver:18.3.0")
        program = str(PROGRAMS / "JdbcClient.java")
        opened = "--add-opens=java.base/java.nio=ALL-UNNAMED"
        super().__init__(
            ["java", "-Xmx512m", "-Dfile.encoding=UTF-8", opened, "-cp", str(jar), program, _port(url)], {}
        )

    def ask(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        if any(isinstance(value, str) and _TIME.fullmatch(value) for value in parameters):
            return super().ask(_written_out(sql, parameters))
        return super().ask(sql, parameters)


CLIENTS: tuple[type[Client], ...] = (
    PyarrowFlight,
    OurClient,
    AdbcDbapi,
    AdbcLowLevel,
    PandasOverAdbc,
    PolarsOverAdbc,
    SqlalchemyOverFlightsqlDbapi,
    GizmosqlClient,
    FlightSqlClient,
    ArrowGo,
    Jdbc,
)


def _port(url: str) -> str:
    return url.rpartition(":")[2]


def _written_out(sql: str, parameters: Sequence[Value]) -> str:
    """The statement with values in place of parameters."""
    return parse_statement(sql).bound([pa.scalar(value) for value in parameters])


def _batch(parameters: Sequence[Value]) -> pa.RecordBatch:
    return pa.record_batch({str(number): [value] for number, value in enumerate(parameters)})


def _tables_of_information_schema(client: Client) -> list[str]:
    rows = client.ask("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1")
    return [row["table_name"] for row in rows]
