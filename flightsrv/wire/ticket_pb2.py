"""Messages of `proto/ticket.proto`."""

from udtf.private_protobuf import declarations

globals().update(declarations("flightsrv.wire", "flight_sql.fds", "ticket.proto"))
