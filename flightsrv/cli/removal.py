"""`flightsrv gc` and `flightsrv delete`: telemetry out of a lake. They work on the lake itself, beside its servers."""

import re
from contextlib import closing
from typing import Any

import click

from flightsrv.cli.lake_options import lake_options

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_GIB = 1 << 30


class Age(click.ParamType[float]):
    """A length of time as 7d, 12h, 30m or 90s, in seconds."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", str(value).strip())
        if match is None:
            self.fail(f"{value!r} is not an age, expected a number with s, m, h or d, such as 7d", param, ctx)
        return float(match[1]) * _UNITS_S[match[2]]


max_lake_option = click.option(
    "--max-lake-gib",
    type=click.FloatRange(0, min_open=True),
    help="Remove the oldest telemetry until objects take no more than this.",
)


def max_bytes_of(max_lake_gib: float | None) -> int | None:
    """Bytes that the option means."""
    return None if max_lake_gib is None else int(max_lake_gib * _GIB)


@click.command(epilog="Example: flightsrv gc --lake ./lake --older-than 7d --dry-run")
@lake_options
@click.option("--older-than", type=Age(), help="Remove telemetry whose events are older, such as 7d.")
@max_lake_option
@click.option("--dry-run", is_flag=True, help="Say what --older-than would remove, and remove nothing.")
def gc(lake: str, db: str | None, older_than: float | None, max_lake_gib: float | None, dry_run: bool) -> None:
    """Remove old telemetry from a lake, and objects that nothing refers to, and put small objects together.

    Processes that have ended go whole; of one that still runs, the oldest part goes. Servers of the lake may run
    meanwhile: a query sees a process as it was, or is told that its oldest telemetry has been removed.
    """
    from flightsrv.server.upkeep import Retention
    from udtf.lake.lake import Lake

    if dry_run and max_lake_gib is not None:
        raise click.UsageError("--dry-run goes with --older-than only.")
    with closing(Lake.open(lake, db)) as opened:
        retention = Retention(older_than, max_bytes_of(max_lake_gib))
        verb = "would remove" if dry_run else "removed"
        for removed in retention.apply(opened, dry_run=dry_run):
            for process_id in removed.processes:
                click.echo(f"{verb} process {process_id}")
            for process_id, end in removed.parts.items():
                click.echo(f"{verb} segments before {end} of process {process_id}")
        if not dry_run:
            packs = list(opened.packing.pack_all())
            if packs:
                click.echo(f"put {sum(packs)} small objects together, as {len(packs)}")
            deleted = opened.removal.collect_garbage() + opened.removal.delete_orphans()
            if deleted:
                click.echo(f"deleted {deleted} objects that nothing referred to")


@click.command(epilog="Example: flightsrv delete --lake ./lake 6ba7b810-9dad-11d1-80b4-00c04fd430c8")
@lake_options
@click.argument("process_ids", nargs=-1, required=True, metavar="PROCESS_ID...")
def delete(lake: str, db: str | None, process_ids: tuple[str, ...]) -> None:
    """Remove processes from a lake, with all their telemetry."""
    from udtf.lake.lake import Lake

    with closing(Lake.open(lake, db)) as opened:
        for process_id in process_ids:
            opened.removal.delete(process_id)
            click.echo(f"removed process {process_id}")
