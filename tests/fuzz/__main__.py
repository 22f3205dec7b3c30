"""`python -m tests.fuzz [TARGET ...] --runs 1000000`: exits with 1 if anything was found."""

import sys
import tempfile
from pathlib import Path

import click

from tests.fuzz.run import fuzz
from tests.fuzz.targets import TARGETS


@click.command()
@click.argument("targets", nargs=-1, type=click.Choice(list(TARGETS)))
@click.option("--runs", default=1_000_000, show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(targets: tuple[str, ...], runs: int, seed: int) -> None:
    """Feed targets, all or only some, with bytes."""
    found = False
    for target in targets or TARGETS:
        folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{target.replace(' ', '-')}-"))
        outcome = fuzz(target, folder, runs=runs, seed=seed)
        found |= not outcome.is_well
        print(f"{target}: {runs:,} runs, nothing found" if outcome.is_well else outcome.printed[-4000:], flush=True)
        if not outcome.is_well:
            print(f"what it was is in {folder}")
    sys.exit(found)


main()
