"""What a program is called, where there is room for a word."""

import re
from pathlib import PurePosixPath, PureWindowsPath

_INTERPRETER = re.compile(r"(python|pypy)[\d.]*t?w?(\.exe)?", re.IGNORECASE)
_OPTIONS_WITH_VALUES = {"-W", "-X"}


def program_name(exe: str, command_line: str = "") -> str:
    """The last part of a program's path; of a Python interpreter, the script or module that it runs.

    Args:
        exe: the path of the program, or whatever telemetry calls it.
        command_line: the command that started it, in words separated by spaces.
    """
    name = _last_part(exe)
    if _INTERPRETER.fullmatch(name):
        return _script_name(command_line.split()[1:]) or name
    return name


def _script_name(words: list[str]) -> str | None:
    position = 0
    while position < len(words):
        word = words[position]
        if word == "-m" and position + 1 < len(words):
            return words[position + 1]
        if word.startswith("-c"):
            return None
        if not word.startswith("-"):
            return _last_part(word)
        position += 2 if word in _OPTIONS_WITH_VALUES else 1
    return None


def _last_part(path: str) -> str:
    """A name with spaces and slashes may be no path at all."""
    windows, posix = PureWindowsPath(path), PurePosixPath(path)
    is_path = posix.is_absolute() or windows.is_absolute() or not re.search(r"\s", path)
    return (windows.name or path) if is_path else path
