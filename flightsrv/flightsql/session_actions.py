"""Actions that set, tell and forget the options of a session."""

from collections.abc import Mapping

from flightsrv.flight.call import Call
from flightsrv.policy.headers import NAMES, RANGE_BEGIN, RANGE_END
from flightsrv.policy.sessions import CATALOG, SCHEMA, SessionOptions, call_options
from flightsrv.wire.flight_pb2 import (
    CloseSessionRequest,
    CloseSessionResult,
    GetSessionOptionsRequest,
    GetSessionOptionsResult,
    SessionOptionValue,
    SetSessionOptionsRequest,
    SetSessionOptionsResult,
)
from udtf.errors import InvalidArgument
from udtf.functions import namespace

MAX_VALUE_CHARS = 100
"""A session is kept for hours; no option needs more, but for spaces."""

_INVALID_NAME = SetSessionOptionsResult.Error(value=SetSessionOptionsResult.INVALID_NAME)
_INVALID_VALUE = SetSessionOptionsResult.Error(value=SetSessionOptionsResult.INVALID_VALUE)

_PLACES: Mapping[str, tuple[str, ...]] = {CATALOG: (namespace.CATALOG,), SCHEMA: namespace.SCHEMAS}
_DEFAULTS: SessionOptions = {CATALOG: namespace.CATALOG, SCHEMA: namespace.DEFAULT_SCHEMA}


def set_session_options(call: Call, request: SetSessionOptionsRequest) -> SetSessionOptionsResult:
    """Set options, and unset those without a value; tell which could not be."""
    before = call.session_options()
    options = dict(before)
    errors: dict[str, SetSessionOptionsResult.Error] = {}
    for name, value in request.session_options.items():
        kind = value.WhichOneof("option_value")
        plain = getattr(value, kind) if kind in ("string_value", "bool_value") else None
        if name not in (*NAMES, *_PLACES):
            errors[name] = _INVALID_NAME
        elif kind is None:
            options.pop(name, None)
        elif plain is not None and len(str(plain)) <= MAX_VALUE_CHARS and _is_valid({name: plain}):
            options[name] = plain
        else:
            errors[name] = _INVALID_VALUE
    if not _is_valid(options):
        # Each is fine, but the time range would end before it begins.
        for name in (RANGE_BEGIN, RANGE_END):
            if name in request.session_options:
                errors[name] = _INVALID_VALUE
                options.pop(name, None)
                options.update({name: before[name]} if name in before else {})
    call.services.sessions.put(call.session_id, options)
    return SetSessionOptionsResult(errors=errors)


def get_session_options(call: Call, request: GetSessionOptionsRequest) -> GetSessionOptionsResult:
    """Tell the options that are set, and in any case where names are looked for."""
    options = {**_DEFAULTS, **call.session_options()}
    return GetSessionOptionsResult(session_options={name: _value(option) for name, option in options.items()})


def close_session(call: Call, request: CloseSessionRequest) -> CloseSessionResult:
    """Forget the options of a session."""
    call.services.sessions.forget(call.session_id)
    return CloseSessionResult(status=CloseSessionResult.CLOSED)


def _is_valid(options: SessionOptions) -> bool:
    if any(options[name] not in _PLACES[name] for name in options.keys() & _PLACES.keys()):
        return False
    try:
        call_options(options, {})
    except InvalidArgument:
        return False
    return True


def _value(option: str | bool) -> SessionOptionValue:
    if isinstance(option, bool):
        return SessionOptionValue(bool_value=option)
    return SessionOptionValue(string_value=option)
