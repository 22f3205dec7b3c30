"""`python -m flightsrv`, the same as the command `flightsrv`."""

from flightsrv.cli import main

if __name__ == "__main__":
    main()
