"""What Flight SQL knows and a lake has no use for: UNIMPLEMENTED, by which clients know that they must do without."""

from typing import NoReturn

from google.protobuf.message import Message

from flightsrv.flight.call import Call
from flightsrv.flight.errors import NotOffered
from flightsrv.flight.upload import Upload
from flightsrv.wire.flight_sql_pb2 import CommandPreparedStatementUpdate, CommandStatementUpdate

_TRANSACTIONS = "transactions are not offered: statements only read, and every record batch is ingested on its own"

ACTIONS = dict.fromkeys(("BeginTransaction", "EndTransaction", "BeginSavepoint", "EndSavepoint"), _TRANSACTIONS)
"""Reasons by the names of actions."""


def refuse_update(
    call: Call, command: CommandStatementUpdate | CommandPreparedStatementUpdate, upload: Upload
) -> NoReturn:
    """Refuse to run a statement as an update.

    Raises:
        NotOffered: always.
    """
    raise NotOffered(
        f"{type(command).__name__} is not offered: statements only read, so run them as queries; "
        "telemetry comes in by bulk ingestion"
    )


def refuse_transaction(command: Message) -> None:
    """Raise NotOffered if a command belongs to a transaction."""
    if command.HasField("transaction_id"):
        raise NotOffered(_TRANSACTIONS)
