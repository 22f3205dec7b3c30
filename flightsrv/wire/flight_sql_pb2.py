"""Messages of `proto/flight_sql.proto`."""

from udtf.private_protobuf import declarations

globals().update(declarations("flightsrv.wire", "flight_sql.fds", "flight_sql.proto"))
