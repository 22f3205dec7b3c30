"""Protobuf messages of descriptor pools of their own.

Several Python packages register the messages of Flight SQL, or of Perfetto, in protobuf's default pool, and no two of
them can live in one process. A private pool, filled from the descriptors that `make proto` compiles, lives beside all
of them. The modules named `..._pb2` have what a pool declares; `make proto` writes their types beside them.
"""

from functools import cache
from importlib.resources import files
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import Message


def declarations(package: str, descriptors: str, proto: str) -> dict[str, Any]:
    """What the module of a .proto file has, by name: classes of messages, enums, and the values of these.

    Args:
        package: where the compiled descriptors are.
        descriptors: the name of their file. What one file holds shares a pool.
        proto: the name of the .proto file among them.
    """
    file = _pool(package, descriptors).FindFileByName(proto)
    names: dict[str, Any] = {"DESCRIPTOR": file}
    for name, message in file.message_types_by_name.items():
        names[name] = _message_class(message)
    for name, enum in file.enum_types_by_name.items():
        names[name] = EnumTypeWrapper(enum)
        names |= {value.name: value.number for value in enum.values}
    return names


def _message_class(message: Descriptor) -> type[Message]:
    """With the classes of the messages that it declares, which the implementation in Python leaves out."""
    message_class = message_factory.GetMessageClass(message)
    for nested in message.nested_types:
        setattr(message_class, nested.name, _message_class(nested))
    return message_class


@cache
def _pool(package: str, descriptors: str) -> descriptor_pool.DescriptorPool:
    data = files(package).joinpath(descriptors).read_bytes()
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool
