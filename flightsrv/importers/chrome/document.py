"""A Chrome JSON trace file as event objects, one at a time, with every number exactly as written.

Source of the format: "Trace Event Format" by the Chromium project: an object with `traceEvents`, or the bare array of
events, whose closing bracket may be missing because a program that crashes cannot write it. Files may be gzipped.

Whatever is damaged costs the events that it is in, and no others. Where the text is not JSON, `lenient` reads what can
be understood of the event; where that is nothing, reading goes on at the next event that is whole.
"""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from flightsrv.importers.chrome import lenient
from flightsrv.importers.chrome.window import Window

_decoder: Any = json.JSONDecoder(strict=False, parse_float=Decimal)
_scan: lenient.Scan = _decoder.scan_once

_TOKEN = re.compile(r"[^\s,]")
_AFTER_SEPARATORS = re.compile(r"[\s,]*+")
_AFTER_SPACE = re.compile(r"\s*+")
_OBJECT = re.compile(r'\{\s*"')
_LIST_OR_OBJECT = re.compile(r'\{\s*"|"traceEvents"\s{0,16}:\s{0,16}\[')
_BEYOND_THE_END = re.compile(r"[^\s\0]")
_GOES_ON = re.compile(r"\s*+[,\]]")
_END_OF_SCALAR = re.compile(r"[,}]")
_LARGE_EVENT = 1 << 18
"""Characters of an event that is still found behind damage, or read although it is damaged."""
_LONGEST_CUT_TOKEN = 16
"""An error so close to the end of the text may come from there being no more."""
_TIME_KEYS = ("baseTimeNanoseconds", "viztracer_metadata")


class ChromeTraceError(Exception):
    """The file is not a Chrome JSON trace that can be imported; the message says why."""


class Document:
    """A trace file that is being read. Everything but `events` is known when those are exhausted.

    `damages` counts the places where events are lost, and `first_damage` says of one of them where it is and what is
    wrong. `is_cut` when the file ends in the middle; `broken_gzip` tells why it cannot be decompressed to its end.
    `values` holds what the file says about time beside the events.
    """

    def __init__(self, path: Path) -> None:
        """Open a file.

        Raises:
            OSError: the file cannot be read.
        """
        self._window = Window(path)
        self.damages = 0
        self.first_damage = ""
        self.is_cut = False
        self.values: dict[str, Any] = {}

    @property
    def broken_gzip(self) -> str | None:
        return self._window.broken_gzip

    def digest(self) -> str:
        """What identifies the content of the file, whether it was compressed or not."""
        return self._window.digest()

    def close(self) -> None:
        """Harmless when called again."""
        self._window.close()

    def events(self) -> Iterator[Any]:
        """The elements of the list of events, objects or not. To be called once.

        Raises:
            ChromeTraceError: the content is no such trace: there is no list, or nothing in it can be read.
            OSError: the file cannot be read.
        """
        window = self._window
        opening = window.text[window.position] if window.find(_TOKEN) else ""
        if opening == "[":
            window.position += 1
            elements = self._list_of_events(may_be_open=True)
        elif opening == "{":
            window.position += 1
            elements = self._object_with_events()
        else:
            raise ChromeTraceError(self._why_nothing("it begins with neither [ nor {"))
        is_empty = True
        for element in elements:
            is_empty = False
            yield element
        if is_empty and (self.first_damage or self.is_cut):
            raise ChromeTraceError(self._why_nothing(self.first_damage or "it ends in the middle"))

    def _why_nothing(self, reason: str) -> str:
        if self.broken_gzip:
            return f"the file is not whole gzip data, and no event can be read before that: {self.broken_gzip}"
        return f"the file is not JSON: {reason}"

    def _list_of_events(self, *, may_be_open: bool) -> Iterator[Any]:
        """Elements up to the closing bracket; of a bare list, those behind it too, which should not be there."""
        window = self._window
        while self._skip(_AFTER_SEPARATORS):
            if window.text[window.position] == "]":
                window.position += 1
                if may_be_open and self._is_more_behind():
                    continue
                return
            if window.text[window.position] == "[":
                self._damaged("a list in the list of events", window.place)
                window.position += 1
                continue
            try:
                element, end = _scan(window.text, window.position)
            except lenient.NOT_JSON as error:
                if self._is_unfinished(error) and window.more():
                    continue
                try:
                    window.ensure(_LARGE_EVENT)
                    if window.text[window.position] != "{":
                        raise lenient.NotUnderstood
                    element, end = lenient.read_object(window.text, window.position, _scan)
                    if "ph" not in element:
                        raise lenient.NotUnderstood
                except lenient.NotUnderstood:
                    self.is_cut |= not self._skip_damage(_reason(error))
                    continue
            if end == len(window.text) and window.more():
                continue  # a number may go on
            if isinstance(element, dict) and "traceEvents" in element:
                self._skip_damage("a whole trace in the list of events")
                continue
            window.position = end
            yield element
        self.is_cut |= not may_be_open

    def _object_with_events(self) -> Iterator[Any]:
        """Elements of the lists of events in an object, whatever else is in it."""
        window = self._window
        lists = 0
        while self._skip(_AFTER_SEPARATORS) and window.text[window.position] != "}":
            key = self._key()
            if key == "traceEvents" and window.text[window.position] == "[":
                lists += 1
                window.position += 1
                yield from self._list_of_events(may_be_open=False)
            elif key in _TIME_KEYS:
                self.values[key] = self._value()
            elif key is not None:
                self._skip_value()
            else:
                self._damaged("the name of a value is missing", window.place)
                if not self._find_more():
                    break
                if window.text[window.position] == "{":
                    lists += 1
                    yield from self._list_of_events(may_be_open=False)
        if not lists and window.position == len(window.text):
            raise ChromeTraceError(self._why_nothing("it ends before its list of events"))
        if not lists:
            raise ChromeTraceError(
                "the file holds no list of events, expected an array or an object with 'traceEvents'"
            )
        if window.position == len(window.text):
            self.is_cut = True
            return
        window.position += 1
        if self._is_more_behind():
            yield from self._list_of_events(may_be_open=True)

    def _key(self) -> str | None:
        """The name before a value, to which the position is moved; None where there is no such thing."""
        window = self._window
        while True:
            text, start = window.text, window.position
            try:
                key, end = _scan(text, start)
                colon = _AFTER_SPACE.match(text, end).end()  # type: ignore[union-attr]
                value = _AFTER_SPACE.match(text, colon + 1).end()  # type: ignore[union-attr]
                if not isinstance(key, str) or text[colon : colon + 1] not in (":", ""):
                    return None
                if value < len(text):
                    window.position = value
                    return key
            except lenient.NOT_JSON as error:
                if not self._is_unfinished(error):
                    return None
            if not window.more():
                return None

    def _value(self) -> Any:
        """The value at the position, which is moved behind it; None where it cannot be read."""
        window = self._window
        start = window.place
        self._skip_value()
        length = window.place - start
        try:
            return _scan(window.text, window.position - length)[0]
        except lenient.NOT_JSON:
            return None

    def _skip_value(self) -> None:
        """Move the position behind the value that is there, which need not be JSON."""
        window = self._window
        while True:
            if window.text[window.position] in "{[":
                end = lenient.skip(window.text, window.position)
            elif window.text[window.position] == '"':
                end = lenient.skip_string(window.text, window.position)
            else:
                found = _END_OF_SCALAR.search(window.text, window.position)
                end = found.start() if found else None
            if end is not None:
                window.position = end
                return
            if not window.more():
                window.position = len(window.text)
                return

    def _skip(self, after: re.Pattern[str]) -> bool:
        """Move the position behind what a pattern matches; false at the end of the file."""
        window = self._window
        while True:
            window.position = after.match(window.text, window.position).end()  # type: ignore[union-attr]
            if window.position < len(window.text):
                return True
            if not window.more():
                return False

    def _is_unfinished(self, error: BaseException) -> bool:
        """Whether it may be that only the rest of a value is missing."""
        window = self._window
        if isinstance(error, json.JSONDecodeError):
            return error.msg.startswith("Unterminated") or error.pos >= len(window.text) - _LONGEST_CUT_TOKEN
        return isinstance(error, StopIteration) and error.value >= len(window.text) - _LONGEST_CUT_TOKEN

    def _is_more_behind(self) -> bool:
        """Whether events follow where the file should end, as in files that were put together; if so, move there."""
        return self._window.find(_BEYOND_THE_END) and self._skip_damage("there is more behind the list of events")

    def _skip_damage(self, reason: str) -> bool:
        """Move the position to the next event that is whole, or to where the list goes on; false without either."""
        window = self._window
        place = window.place
        window.ensure(_LARGE_EVENT)
        end = lenient.skip(window.text, window.position) if window.text[window.position] == "{" else None
        if end is not None and _GOES_ON.match(window.text, end):
            self._damaged(reason, place)
            starts = (found.start() for found in _OBJECT.finditer(window.text, window.position + 1, end))
            window.position = next(filter(self._is_event, starts), end)
            return True
        while window.find(_OBJECT):
            window.ensure(_LARGE_EVENT)
            if self._is_event(window.position):
                self._damaged(reason, place)
                return True
            window.position += 1
        return False

    def _find_more(self) -> bool:
        """Move the position to the next list of events, or to the next event that is whole; false without either."""
        window = self._window
        while window.find(_LIST_OR_OBJECT):
            window.ensure(_LARGE_EVENT)
            if window.text[window.position] == '"' or self._is_event(window.position):
                return True
            window.position += 1
        return False

    def _is_event(self, start: int) -> bool:
        try:
            element, _ = _scan(self._window.text, start)
        except lenient.NOT_JSON:
            return False
        return "ph" in element

    def _damaged(self, reason: str, place: int) -> None:
        self.damages += 1
        self.first_damage = self.first_damage or f"{reason}, behind {place:,} characters"


def _reason(error: BaseException) -> str:
    """What Python's scanner found, in words."""
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    return "too deep" if isinstance(error, RecursionError) else "a value is missing"
