"""Protobuf classes of Flight SQL, in a descriptor pool of their own.

Several Python packages register `arrow.flight.protocol.sql.*` in protobuf's default pool, and no two of them
can live in one process. A private pool, filled from the descriptors that `make proto` compiles into the file
beside this one, lives beside all of them, and needs no generated code.
"""

from functools import cache
from importlib.resources import files
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory


@cache
def _pool() -> Any:
    descriptors = descriptor_pb2.FileDescriptorSet.FromString(
        files(__package__).joinpath("flight_sql.fds").read_bytes()
    )
    pool = descriptor_pool.DescriptorPool()
    for file in descriptors.file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


@cache
def message_class(full_name: str) -> Any:
    """The protobuf class of a message, such as `google.protobuf.Any`.

    Raises:
        KeyError: no .proto file of ours declares it.
    """
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(full_name))
