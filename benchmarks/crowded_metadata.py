"""What does a database with the metadata of many processes, and of one that has run for long, do to the next upload and
the next question? `python -m benchmarks.crowded_metadata --db postgresql+psycopg://...`, on an empty database.

Some uploads of a quiet process (`unit_costs`) go in as any others. Their rows are then given to many other processes,
and again and again to one, at later times, by the code that stores all rows. They have no objects, so what is asked
is which stretches of a history there are for a minute, with empty caches: what a trace begins with.
"""

import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import click
import sqlalchemy as sa

from benchmarks.questions.unit_costs import SHAPES
from benchmarks.recordings import Live
from udtf.lake.history import Histories, completed_by
from udtf.lake.lake import Lake
from udtf.lake.metadata import Growth, HistoryRow, SegmentRow, StretchRow
from udtf.lake.time_range import TimeRange

LONG_ID = "long"
ASKED = 50
R = TypeVar("R", SegmentRow, StretchRow)


@click.command()
@click.option("--db", required=True, help="SQLAlchemy URL of an empty database.")
@click.option("--processes", type=click.IntRange(1), default=1000, show_default=True, help="How many.")
@click.option(
    "--uploads",
    type=click.Choice(["64", "512", "4096"]),
    default="512",
    show_default=True,
    help="Of each: the last of them completes a stretch of all.",
)
@click.option("--days", type=click.FloatRange(0.1), default=2.0, show_default=True, help="Of the one process.")
def main(db: str, processes: int, uploads: str, days: float) -> None:
    """Fill a database, and ask it."""
    live = replace(SHAPES["quiet"], flushes=int(uploads))
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake.open(folder, db)
        try:
            for upload in live.uploads():
                lake.ingest(*upload)
            template = _Template(lake, live)
            _tell(lake, db, "template alone", [live.process_id])
            begin_s = time.monotonic()
            ids = [f"process-{number}" for number in range(processes)]
            for process_id in ids:
                template.give_to(process_id, 1)
            template.give_to(LONG_ID, max(1, round(days * 86_400 / live.seconds)))
            click.echo(f"filled in {time.monotonic() - begin_s:.0f} s")
            _tell(lake, db, f"{processes} processes", ids)
            _tell(lake, db, f"one process of {days:g} days", [LONG_ID])
        finally:
            lake.close()


class _Template:
    """The rows of a process, for others."""

    def __init__(self, lake: Lake, live: Live) -> None:
        self._metadata = lake.metadata
        self._duration_ns = live.seconds * 1_000_000_000
        self._process, self._history = lake.metadata.process_and_history(live.process_id)
        numbers = range(self._history.nb_segments)
        self._segments = lake.metadata.segments(live.process_id, numbers)
        keys = [(key.nb_segments, key.first_segment) for number in numbers for key in completed_by(number)]
        self._stretches = [row for row in lake.metadata.stretches(live.process_id, keys) if isinstance(row, StretchRow)]

    def give_to(self, process_id: str, repeats: int) -> None:
        """All of it so many times, one after the other."""
        nb_segments = self._history.nb_segments
        self._metadata.put_processes([replace(self._process, process_id=process_id)])
        history = replace(self._history, process_id=process_id, nb_segments=0, size_bytes=0)
        for repeat in range(repeats):
            first, later_ns = repeat * nb_segments, repeat * self._duration_ns
            history = replace(
                history,
                nb_segments=history.nb_segments + nb_segments,
                size_bytes=history.size_bytes + self._history.size_bytes,
            )
            segments = [_moved(row, process_id, first, later_ns) for row in self._segments]
            stretches = [_moved(row, process_id, first, later_ns) for row in self._stretches]
            stretches += _larger(stretches, history)
            self._metadata.grow([Growth(history, segments, stretches)])


def _moved(row: R, process_id: str, first: int, later_ns: int) -> R:
    return replace(
        row,
        process_id=process_id,
        first_segment=row.first_segment + first,
        begin_time=row.begin_time + later_ns,
        end_time=row.end_time + later_ns,
    )


def _larger(stretches: Sequence[StretchRow], history: HistoryRow) -> list[StretchRow]:
    """Stretches of more segments than the template has, which are complete by now. Their index is that of a part."""
    last = max(stretches, key=lambda row: row.nb_segments)
    larger = [key for key in completed_by(history.nb_segments - 1) if key.nb_segments > last.nb_segments]
    of_one_ns = (last.end_time - last.begin_time) // last.nb_segments
    return [
        replace(
            last,
            nb_segments=key.nb_segments,
            first_segment=key.first_segment,
            begin_time=last.end_time - of_one_ns * key.nb_segments,
            nb_events=last.nb_events * key.nb_segments // last.nb_segments,
        )
        for key in larger
    ]


def _tell(lake: Lake, db: str, title: str, ids: Sequence[str]) -> None:
    """How large the database is, how long a minute of a process takes to find, and an upload to store."""
    chance = random.Random(title)
    asked_ms, stretches = [], []
    for _ in range(ASKED):
        history = lake.metadata.history(chance.choice(ids))
        begin_ns = lake.metadata.segments(history.process_id, [chance.randrange(history.nb_segments)])[0].begin_time
        minute = TimeRange(begin_ns, begin_ns + 60_000_000_000)
        begin_s = time.perf_counter()
        cover = Histories(lake.metadata, max_bytes=1 << 30).cover(history, minute)
        asked_ms.append((time.perf_counter() - begin_s) * 1e3)
        stretches.append(len(cover.units) + len(cover.others))
    stored_ms = []
    for upload in replace(SHAPES["quiet"], flushes=ASKED).uploads_as(f"sent-{title.replace(' ', '-')}"):
        begin_s = time.perf_counter()
        lake.ingest(*upload)
        stored_ms.append((time.perf_counter() - begin_s) * 1e3)
    click.echo(
        f"{title}: {_nb_rows(db):,} segments in a database of {_size_bytes(db) / 1e6:,.0f} MB; a minute is "
        f"{statistics.median(stretches):.0f} stretches, found in {statistics.median(asked_ms):.1f} ms; "
        f"an upload is stored in {statistics.median(stored_ms):.1f} ms (medians of {ASKED})"
    )


def _nb_rows(db: str) -> int:
    return _one(db, "SELECT count(*) FROM segments")


def _size_bytes(db: str) -> int:
    if db.startswith("sqlite"):
        return _one(db, "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
    return _one(db, "SELECT pg_database_size(current_database())")


def _one(db: str, sql: str) -> int:
    engine = sa.create_engine(db)
    try:
        with engine.connect() as connection:
            number: int = connection.execute(sa.text(sql)).scalar_one()
            return number
    finally:
        engine.dispose()


if __name__ == "__main__":
    main()
