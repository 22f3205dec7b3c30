"""The figures as pictures."""

from collections.abc import Callable, Iterator
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from benchmarks.lakes import MANY_THREADS, MILLION
from benchmarks.phases.factors import HOPES, Factor, Figures
from benchmarks.phases.measure import NAIVE, PRODUCT, STATES
from benchmarks.phases.stores import STORE_TITLES
from benchmarks.phases.switches import PHASES, Phase
from benchmarks.phases.tables import number

_DOTS_PER_INCH = 80
_BAR = 0.26
_BEFORE_COLOR, _AFTER_COLOR = "#b8b8b8", "#1f6fb2"
_COLORS = ("#1f6fb2", "#58a55c", "#e39b2d")
_HOPED_COLOR = "#f0e6c8"
_STEPS = (0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)


def draw(figures: Figures, folder: Path) -> list[Path]:
    """Write the pictures as PNG into a folder; returns those of which something was measured."""
    pictures = {
        "against_naive.png": _against_naive(figures),
        "hopes.png": _hopes(figures),
        "alone.png": _phases(figures.alone, "Each phase alone: times faster than the naive way"),
        "beside_others.png": _phases(
            figures.beside_others, "Each phase beside all others: times faster than without it"
        ),
    }
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, picture in pictures.items():
        if picture is not None:
            picture.savefig(folder / name, dpi=_DOTS_PER_INCH)
            paths.append(folder / name)
    return paths


def _against_naive(figures: Figures) -> Figure | None:
    """Times by process, store and state, on a logarithmic axis."""
    shapes = [shape for shape in (MILLION, MANY_THREADS) if any(_times(figures, shape))]
    if not shapes:
        return None
    picture = Figure(figsize=(11, 0.6 + 3.9 * len(shapes)), layout="constrained")
    for axes, shape in zip(picture.subplots(len(shapes), squeeze=False).flat, shapes, strict=True):
        rows = list(_times(figures, shape))
        for row, (_, factor) in enumerate(rows):
            axes.barh(row - 0.2, factor.before_ms, 0.38, color=_BEFORE_COLOR, label="naive" if not row else None)
            axes.barh(row + 0.2, factor.after_ms, 0.38, color=_AFTER_COLOR, label="flightsrv" if not row else None)
            axes.text(factor.before_ms, row - 0.2, f" {_time(factor.before_ms)}", va="center", fontsize=9)
            text = f" {_time(factor.after_ms)}, {number(factor.value)} times faster"
            axes.text(factor.after_ms, row + 0.2, text, va="center", fontsize=9)
        axes.set_yticks(range(len(rows)), [label for label, _ in rows])
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.set_xlim(10, 6 * max(factor.before_ms for _, factor in rows))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda ms, _: _time(ms)))
        axes.set_title(f"Time until a trace is complete, {shape}", loc="left")
        axes.legend(loc="lower right")
        _plain(axes)
    return picture


def _times(figures: Figures, shape: object) -> Iterator[tuple[str, Factor]]:
    for store in figures.stores:
        for state in STATES:
            factor = figures.factor(shape, store, NAIVE, PRODUCT, state)
            if factor is not None:
                yield f"{store}, {state}", factor


def _hopes(figures: Figures) -> Figure | None:
    """Factors by phase and store, each before a band that reaches over what was hoped for."""
    if not any(hope.factor(figures, store) for hope in HOPES for store in figures.stores):
        return None
    picture = Figure(figsize=(11, 5.2), layout="constrained")
    axes = picture.subplots()
    axes.set_title("What the plan hoped for, and what came", loc="left")
    for row, hope in enumerate(HOPES):
        assert hope.phase.hoped is not None
        least, most = hope.phase.hoped
        # A factor alone is a line: it has to be wide enough to be seen.
        label = None if row else "hoped"
        axes.barh(row, most * 1.03 - least / 1.03, 0.9, left=least / 1.03, color=_HOPED_COLOR, label=label)
        for place, store in enumerate(figures.stores):
            found = hope.factor(figures, store)
            if found is not None:
                _bar(axes, row + (place - 1) * _BAR, found.value, _COLORS[place])
    _factor_axes(axes, [f"{hope.phase.title}\n{hope.what}" for hope in HOPES])
    for store, color in zip(figures.stores, _COLORS, strict=False):
        axes.barh([0], [0], color=color, label=store)
    axes.set_xlabel("times faster with the phase than without it")
    picture.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=1 + len(figures.stores))
    return picture


def _phases(factor: Callable[[Phase, str, str], Factor | None], title: str) -> Figure | None:
    """Factors by store, phase and state, on a logarithmic axis: to the right of 1 it helps."""
    stores = [store for store in STORE_TITLES if any(factor(phase, store, "warm") for phase in PHASES)]
    if not stores:
        return None
    picture = Figure(figsize=(2.2 + 4.4 * len(stores), 6.2), layout="constrained")
    picture.suptitle(title)
    for axes, store in zip(
        picture.subplots(1, len(stores), sharex=True, sharey=True, squeeze=False).flat, stores, strict=True
    ):
        for row, phase in enumerate(PHASES):
            for place, state in enumerate(STATES):
                found = factor(phase, store, state)
                if found is not None:
                    _bar(axes, row + (place - 1) * _BAR, found.value, _COLORS[place])
        _factor_axes(axes, [_label(phase) for phase in PHASES])
        axes.set_title(store)
    for state, color in zip(STATES, _COLORS, strict=True):
        axes.barh([0], [0], color=color, label=state)
    picture.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=len(STATES))
    return picture


def _factor_axes(axes: Axes, labels: list[str]) -> None:
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(_STEPS))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.axvline(1, color="black", linewidth=0.8)
    axes.margins(x=0.18)
    _plain(axes)


def _bar(axes: Axes, row: float, value: float, color: str) -> None:
    axes.barh(row, value - 1, _BAR * 0.92, left=1, color=color)
    side = "left" if value >= 1 else "right"
    axes.text(value, row, f" {number(value)} ", va="center", ha=side, fontsize=8)


def _label(phase: Phase) -> str:
    return f"{phase.title}\n(hoped: {phase.hoped_text})" if phase.hoped else phase.title


def _time(milliseconds: float) -> str:
    return f"{milliseconds:,.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.3g} s"


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
