"""Statements of SQLAlchemy that are traced."""

import os

import sqlalchemy as sa

from flightsrv import tracing
from flightsrv.tracing.integrations.sqlalchemy import trace_engine


def main() -> None:
    engine = sa.create_engine("sqlite://")
    trace_engine(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE words (word TEXT, times INTEGER)"))
        rows = [{"word": word, "times": len(word)} for word in ("one", "three", "seven")]
        connection.execute(sa.text("INSERT INTO words VALUES (:word, :times)"), rows)
        print(connection.execute(sa.text("SELECT sum(times) FROM words")).scalar_one())


if __name__ == "__main__":
    with tracing.start(os.environ.get("FLIGHTSRV_TRACE_TO", "http://127.0.0.1:8080")):
        main()
