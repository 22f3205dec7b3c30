"""Text of others on a terminal."""

import re

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Characters that a terminal may obey; not the end of a line, nor a tab."""


def printable(text: str) -> str:
    """The text with escapes in place of what would steer a terminal: names in telemetry are whatever a program says."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
