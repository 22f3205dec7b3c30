"""Everything that talks to a caller: Flight SQL server, client library, tracing library, command line.

Importing this package loads nothing else, so an application that only records spans pays only for `flightsrv.tracing`.
"""

__version__ = "0.1.0"
