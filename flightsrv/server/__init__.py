"""The Flight SQL server.

The way of a call: `service` receives it, `flightsrv.wire` decodes the command, `handlers` finds the function
that answers it, `tickets` and `parameters` make the statement to run, the query engine of `udtf.sql` plans it, and
`streaming` sends its record batches. `headers` reads call headers, `errors` gives every failure its status code,
`lifecycle` starts and stops all of this.
"""
