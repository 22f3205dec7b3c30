"""Arguments of events, each different set of them once."""

from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flightsrv.importers.chrome.lenient import Unreadable
from flightsrv.tracing.attributes import encode

NO_ARGUMENTS = 0


class Arguments:
    """Codes for arguments, from 1 on."""

    def __init__(self) -> None:
        self._codes: dict[bytes, int] = {b"": NO_ARGUMENTS}

    def code_of(self, given: Any) -> int:
        """The code of what stands under `args` of an event; what is no object is no arguments."""
        if not isinstance(given, dict) or not given:
            return NO_ARGUMENTS
        encoded = encode({key: _settled(value) for key, value in given.items()})
        return self._codes.setdefault(encoded, len(self._codes))

    def attributes(self, codes: npt.NDArray[np.int32]) -> pa.BinaryArray | None:
        """Those of events with these codes, as `udtf.lake.attributes` has them; None if none has any."""
        if not np.any(codes):
            return None
        return pa.array(list(self._codes), pa.binary()).take(pa.array(codes))


def _settled(value: Any) -> Any:
    try:
        return _plain(value)
    except RecursionError:
        return "(nested too deeply)"


def _plain(value: Any) -> Any:
    """A value of JSON with numbers as Python has them."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, Unreadable):
        return str(value)
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return value
