"""SQLAlchemy over flightsql-dbapi: answers a request per line of its input with a line of its output, in JSON."""

import json
import sys
from typing import Any

import flightsql.sqlalchemy  # noqa: F401  registers the dialect
import sqlalchemy


def main(port: str) -> None:
    """Serve requests until there are no more."""
    url = f"datafusion+flightsql://127.0.0.1:{port}?insecure=True&feature-sqlalchemy-prepared-statements=on"
    engine = sqlalchemy.create_engine(url)
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any]
        try:
            answer = {"rows": ask(engine, request)}
        except Exception as e:
            answer = {"error": str(e)}
        print(json.dumps(answer, default=bytes.hex), flush=True)


def ask(engine: Any, request: dict[str, Any]) -> list[Any]:
    """Rows as dictionaries, or what the inspector tells."""
    if request["ask"] == "tables":
        return sorted(sqlalchemy.inspect(engine).get_table_names("public"))
    if request["ask"] == "columns":
        return [column["name"] for column in sqlalchemy.inspect(engine).get_columns(request["table"], "public")]
    with engine.connect() as connection:
        result = connection.exec_driver_sql(request["sql"], tuple(request["parameters"]))
        names = list(result.keys())
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


main(sys.argv[1])
