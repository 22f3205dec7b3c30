"""The figures as tables, to read in a terminal and to paste into a README."""

from collections.abc import Callable, Sequence

from benchmarks.lakes import ASYNC, MANY_THREADS, MEDIUM, MILLION
from benchmarks.phases.factors import HOPES, Factor, Figures
from benchmarks.phases.measure import ALL, FIRST, NAIVE, PRODUCT, REST, SCANS_AT_ONCE, STATES, Way
from benchmarks.phases.switches import PHASES, UPDATES, Phase
from benchmarks.results import markdown_table

_UPDATES = {"by each scan": REST[UPDATES], "all before the first scan": FIRST, "each scan as soon as it may": ALL}

Rows = Sequence[tuple[tuple[str, ...], list[str]]]
"""What each row is about, and its cells."""


def tables(figures: Figures) -> str:
    """All of them, with their headings, in Markdown; rows and tables of which nothing was measured are left out."""
    all_tables = [
        _table("All phases against the naive way", ("process", "store", *STATES), _against_naive(figures)),
        _table("What the plan hoped for", ("phase", "what it makes faster", "hoped", *figures.stores), _hopes(figures)),
        *(
            _table(
                f"{title}, {store} ({shape}; phase 5: {ASYNC.async_spans:,} async spans)",
                ("phase", "hoped", *STATES),
                _phases(store, factor),
            )
            for title, shape, factor in (
                ("Each phase alone", MEDIUM, figures.alone),
                ("Each phase beside all others", MILLION, figures.beside_others),
            )
            for store in figures.stores
        ),
        _table(f"When partitions are made, cold ({MILLION})", ("store", *_UPDATES), _updates(figures)),
        _table(f"Scans at once ({MILLION})", ("store", "state", *map(str, SCANS_AT_ONCE)), _scans(figures)),
    ]
    return "\n\n".join(table for table in all_tables if table)


def _table(title: str, head: Sequence[str], rows: Rows) -> str:
    filled = [(*labels, *cells) for labels, cells in rows if any(cells)]
    return f"#### {title}\n\n{markdown_table(head, filled)}" if filled else ""


def _against_naive(figures: Figures) -> Rows:
    return [
        ((str(shape), store), [_cell(figures.factor(shape, store, NAIVE, PRODUCT, state)) for state in STATES])
        for shape in (MILLION, MANY_THREADS)
        for store in figures.stores
    ]


def _hopes(figures: Figures) -> Rows:
    return [
        (
            (hope.phase.title, hope.what, hope.phase.hoped_text),
            [_cell(hope.factor(figures, store)) for store in figures.stores],
        )
        for hope in HOPES
    ]


def _phases(store: str, factor: Callable[[Phase, str, str], Factor | None]) -> Rows:
    return [
        ((phase.title, phase.hoped_text), [_cell(factor(phase, store, state)) for state in STATES]) for phase in PHASES
    ]


def _updates(figures: Figures) -> Rows:
    return [((store,), [_cold(figures, store, way) for way in _UPDATES.values()]) for store in figures.stores]


def _scans(figures: Figures) -> Rows:
    return [
        ((store, state), [_milliseconds(figures, store, way, state) for way in SCANS_AT_ONCE.values()])
        for store in figures.stores
        for state in STATES
    ]


def _milliseconds(figures: Figures, store: str, way: Way, state: str) -> str:
    result = figures.result(MILLION, store, way, state)
    return "" if result is None else f"{result.best:,.0f} ms"


def _cold(figures: Figures, store: str, way: Way) -> str:
    result = figures.result(MILLION, store, way, "cold")
    if result is None:
        return ""
    return f"{result.best:,.0f} ms, first spans {result.details['ms to the first spans']:,.0f} ms"


def _cell(factor: Factor | None) -> str:
    if factor is None:
        return ""
    return f"{factor.before_ms:,.0f} to {factor.after_ms:,.0f} ms, **{number(factor.value)} x**"


def number(factor: float) -> str:
    """As many digits as mean something."""
    return f"{factor:.0f}" if factor >= 20 else f"{factor:.1f}" if factor >= 3 else f"{factor:.2f}"
