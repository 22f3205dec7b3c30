"""Messages of `proto/flight.proto`."""

from udtf.private_protobuf import declarations

globals().update(declarations("flightsrv.wire", "flight_sql.fds", "flight.proto"))
