"""The Flight SQL server.

The way of a call: `transport` is gRPC, `service` has the RPCs of the protocol, and `rpc` what happens around each of
them; `flightsrv.wire` decodes the command, `handlers` finds the function that answers it, `tickets` and `parameters`
make the statement to run, the query engine of `udtf.sql` plans it, and `streaming` makes its rows. `headers` reads call
headers, `errors` gives every failure its status code, `lifecycle` starts and stops all of this.
"""

import os

# gRPC writes to standard error what is told to whom it concerns anyway. It reads this when it is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
