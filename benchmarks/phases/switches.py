"""The phases of the plan as switches: off is the technique of `benchmarks.baseline`, on is the product's own."""

from dataclasses import dataclass, replace
from typing import Literal

from benchmarks.baseline.trace import NO_CACHES
from udtf.lake.settings import CacheSettings, LakeSettings

Updates = Literal["in each scan", "before all scans", "ahead of scans"]
"""When partitions are made: each thread's by its own scan; all of them at once, before the first scan; or all of them
at once, where a thread is scanned as soon as its own are there."""


@dataclass(frozen=True)
class Switches:
    """Which phases a trace is made with.

    Attributes:
        columns: columns encoded by compiled loops, large chunks; else a protobuf message per event, chunks of 8 KiB.
        scans: several threads are read at once, as many as the product finds fit, and their results put in order;
            else one after the other.
        updates: the product's are "ahead of scans".
        planning: all views of a process resolved together; else an SQL text per thread that sorts.
        caches: files, rows and summaries of partitions stay in memory.
        async_scan: begins and ends of async spans come in pairs; else by self-join.
        progress: somebody is told how far the trace is.
    """

    columns: bool = False
    scans: bool = False
    updates: Updates = "in each scan"
    planning: bool = False
    caches: bool = False
    async_scan: bool = False
    progress: bool = False

    @property
    def lake_settings(self) -> LakeSettings:
        """Scans that make their own partitions make as many at once as there are scans."""
        one_at_a_time = self.updates == "in each scan" and not self.scans
        return LakeSettings(
            max_builds=1 if one_at_a_time else None, caches=CacheSettings() if self.caches else NO_CACHES
        )


@dataclass(frozen=True)
class Phase:
    """A switch, what it is called, and the least and the greatest factor that the plan hoped for."""

    title: str
    field: str
    hoped: tuple[float, float] | None = None

    @property
    def hoped_text(self) -> str:
        if self.hoped is None:
            return ""
        least, most = self.hoped
        return f"{least:g} x" if least == most else f"{least:g}-{most:g} x"

    def alone(self) -> Switches:
        """The naive way and this."""
        return replace(NOTHING, **{self.field: getattr(EVERYTHING, self.field)})

    def taken_away(self) -> Switches:
        """Everything but this."""
        return replace(EVERYTHING, **{self.field: getattr(NOTHING, self.field)})


NOTHING = Switches()
EVERYTHING = Switches(True, True, "ahead of scans", True, True, True, True)
UPDATES_FIRST = replace(EVERYTHING, updates="before all scans")

COLUMNS = Phase("columns, large chunks", "columns")
SCANS = Phase("1 ordered scans", "scans", (5, 10))
UPDATES = Phase("2 concurrent updates", "updates", (3, 5))
PLANNING = Phase("3 no planning per thread", "planning", (1.25, 1.25))
CACHES = Phase("4 caches", "caches")
ASYNC_SCAN = Phase("5 async spans in one scan", "async_scan", (2, 2))
PROGRESS = Phase("6 progress", "progress", (1, 1))

PHASES = (COLUMNS, SCANS, UPDATES, PLANNING, CACHES, ASYNC_SCAN, PROGRESS)
