"""One target, until it has had so many runs: `python -m tests.fuzz.one TARGET FOLDER [options of libFuzzer]`."""

import sys
from pathlib import Path

import atheris

import tests.fuzz.compiled  # noqa: F401

INSTRUMENTED = (
    "flightsrv.wire",
    "flightsrv.flight",
    "flightsrv.flightsql",
    "flightsrv.importers.chrome",
    "flightsrv.importers.otlp",
    "udtf.arrow.messages",
    "udtf.lake.block_format",
)

with atheris.instrument_imports(include=list(INSTRUMENTED)):
    from tests.fuzz.targets import TARGETS
    from udtf.execution.memory import resident_bytes

MAX_GROWTH_BYTES = 512 << 20
"""What reading any bytes may add to the process that reads them."""


def main() -> None:
    """Does not return: libFuzzer ends the process."""
    name, folder, *options = sys.argv[1:]
    target = TARGETS[name]
    for number, seed in enumerate(target.seeds):
        Path(folder, f"seed-{number}").write_bytes(seed)
    most_bytes = resident_bytes() + MAX_GROWTH_BYTES

    def read(data: bytes) -> None:
        target.read(data)
        assert resident_bytes() < most_bytes, "reading a few bytes takes a lot of memory"

    atheris.Setup([sys.argv[0], folder, *options], read)
    atheris.Fuzz()


main()
