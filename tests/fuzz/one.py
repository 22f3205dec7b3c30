"""One target, until it has had so many runs: `python -m tests.fuzz.one TARGET FOLDER [options of libFuzzer]`."""

import sys
from pathlib import Path

import atheris

INSTRUMENTED = (
    "flightsrv.wire",
    "flightsrv.server",
    "flightsrv.chrome",
    "udtf.arrow_messages",
    "udtf.lake.block_format",
)

with atheris.instrument_imports(include=list(INSTRUMENTED)):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Does not return: libFuzzer ends the process."""
    name, folder, *options = sys.argv[1:]
    for number, seed in enumerate(TARGETS[name].seeds):
        Path(folder, f"seed-{number}").write_bytes(seed)
    atheris.Setup([sys.argv[0], folder, *options], TARGETS[name].read)
    atheris.Fuzz()


main()
