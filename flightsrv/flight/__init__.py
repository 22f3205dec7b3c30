"""Arrow Flight: RPCs, streams of rows and their statuses, with nothing of SQL.

`transport` is gRPC, `service` has the RPCs of the protocol, `rpc` does what is the same around each of them; `call` is
an RPC as those see it that answer its command. `streaming` sends rows, `upload` receives them, `errors` gives every
failure its status code.
"""

import os

# gRPC logs to standard error what we report as errors anyway. It reads this when it is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
