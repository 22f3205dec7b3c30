"""`flightsrv` that knows the slow store (`slow_files`): `python -m benchmarks.slow_server serve --lake slow:///...`"""

import sys

from benchmarks.slow_files import register
from flightsrv.cli import main

if __name__ == "__main__":
    register()
    main(sys.argv[1:])
