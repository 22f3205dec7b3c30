"""What can go wrong below SQL.

    UdtfError
    ├── InvalidArgument      the caller's mistake: an argument, a statement, a time
    │   ├── InvalidTelemetry     telemetry that is malformed or contradicts what is stored
    │   └── LimitExceeded        the answer would take more memory or room than a query may have
    ├── PermissionDenied     the caller is known, and may not do this
    ├── Overloaded           too many others are served at this moment; later there may be room
    ├── NotFound             a process or stream that the lake does not have
    │   └── Removed              telemetry that was removed while it was read
    ├── AlreadyExists        what should be made is there
    ├── CorruptData          stored bytes are not what was acknowledged (a failure of ours or of the store)
    ├── StoreFull            there is no room for what should be stored; when there is, it works again
    ├── StoreRefused         the object store or the metadata database will not do it: no permission, no bucket
    └── StoreUnavailable     the object store or the metadata database does not answer; later it may

Every message is written for the caller: what, which, what was expected. It never holds a server path.
"""


class UdtfError(Exception):
    """Root of the errors that this package raises on purpose."""


class InvalidArgument(UdtfError):
    """The caller asked for something that has no meaning; nothing was done."""


class InvalidTelemetry(InvalidArgument):
    """Telemetry was refused whole; nothing of the refused record batch was stored."""


class LimitExceeded(InvalidArgument):
    """A query asked for more than one query may have; the message says how much that is."""


class PermissionDenied(UdtfError):
    """The caller may not do this, whether or not there is what it names."""


class Overloaded(UdtfError):
    """As much is under way as may be at once, and waiting was of no use; nothing was done."""


class NotFound(UdtfError):
    """The lake has no such process or stream."""


class Removed(NotFound):
    """Telemetry was removed, by age or by an administrator, while it was read; the rest can be had by asking again."""


class InvalidEvent(Exception):
    """Something is wrong with an event. What it belongs to makes `InvalidTelemetry` of that.

    Args:
        position: which one, among those that were checked.
        found: what there is.
        expected: what should be there.
    """

    def __init__(self, position: int, found: str, expected: str) -> None:
        super().__init__(f"{found} at event {position}, expected {expected}")
        self.position = position
        self.found = found
        self.expected = expected


class AlreadyExists(UdtfError):
    """There is already what the caller wants to make; nothing was done."""


class CorruptData(UdtfError):
    """Stored bytes cannot be read back as what they were when they were acknowledged."""


class StoreFull(UdtfError):
    """There is no room left for the object store or the metadata database; nothing was stored, reading still works."""


class StoreRefused(UdtfError):
    """The store answered, and will answer the same when asked again: no permission, no bucket, read-only."""


class StoreUnavailable(UdtfError):
    """The object store or the metadata database failed for longer than we are patient; the same may work later."""
