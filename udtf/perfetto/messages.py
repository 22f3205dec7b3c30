"""Message classes of `proto/perfetto_trace.proto`, for the packets that are too rare to write by hand.

They come from a private descriptor pool: the default one belongs to other libraries in the process that know Perfetto.
"""

from importlib.resources import files
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "flightsrv.perfetto"


def _message_classes() -> dict[str, Any]:
    descriptors = descriptor_pb2.FileDescriptorSet.FromString(
        files("udtf.perfetto").joinpath("perfetto_trace.fds").read_bytes()
    )
    pool = descriptor_pool.DescriptorPool()
    for file in descriptors.file:
        pool.Add(file)
    return {
        message.name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{message.name}"))
        for file in descriptors.file
        for message in file.message_type
    }


_CLASSES = _message_classes()

Trace = _CLASSES["Trace"]
TracePacket = _CLASSES["TracePacket"]
TracePacketDefaults = _CLASSES["TracePacketDefaults"]
TrackEventDefaults = _CLASSES["TrackEventDefaults"]
TrackEvent = _CLASSES["TrackEvent"]
TrackDescriptor = _CLASSES["TrackDescriptor"]
ProcessDescriptor = _CLASSES["ProcessDescriptor"]
ThreadDescriptor = _CLASSES["ThreadDescriptor"]
ClockSnapshot = _CLASSES["ClockSnapshot"]
DebugAnnotation = _CLASSES["DebugAnnotation"]
DebugAnnotationName = _CLASSES["DebugAnnotationName"]
InternedString = _CLASSES["InternedString"]
CounterDescriptor = _CLASSES["CounterDescriptor"]
