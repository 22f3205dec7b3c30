"""`python -m flightsrv`, the same as the command `flightsrv`."""

import sys

from flightsrv.extras import install_advice


def main() -> None:
    """Run the command line, or say what to install for it."""
    try:
        if sys.argv[1:2] == ["run"]:
            # Without click, which programs that are traced need not have.
            from flightsrv.run.command import main as run

            run(sys.argv[2:])
        from udtf.execution.imports import without_pandas

        without_pandas()
        from flightsrv.cli import main as run_command

        run_command()
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in ("flightsrv", "udtf"):
            raise
        command = next((argument for argument in sys.argv[1:] if not argument.startswith("-")), None)
        sys.exit(f"Error: {install_advice(command, error.name)}")


if __name__ == "__main__":
    main()
