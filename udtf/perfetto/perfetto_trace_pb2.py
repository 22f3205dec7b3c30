"""Messages of `proto/perfetto_trace.proto`, for the packets that are too rare to write by hand."""

from udtf.private_protobuf import declarations

globals().update(declarations("udtf.perfetto", "perfetto_trace.fds", "perfetto_trace.proto"))
