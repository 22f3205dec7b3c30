"""What the README tells somebody to type exists."""

import re
from collections.abc import Iterator
from pathlib import Path

from flightsrv.cli import main

ROOT = Path(__file__).parents[1]
OPTIONS_OF_ALL = {"--help"}


def code_in(text: str) -> str:
    """What a Markdown text has to type into a shell, fenced or inline, with continued lines joined."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    fenced = [code for language, code in blocks if language in ("", "sh")]
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    return "\n".join([*fenced, *inline]).replace("\\\n", " ")


def typed(text: str, program: str) -> Iterator[tuple[str, list[str]]]:
    """The commands of a program that a text tells to type, each with its long options."""
    for command, rest in re.findall(rf"^(?:.*[\s/])?{program} ([a-z][a-z-]*)(.*)", code_in(text), re.MULTILINE):
        yield command, re.findall(r"(?<!\S)--[a-z-]+", rest)


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_commands_are_found_in_a_text() -> None:
    """Fenced and inline code count, prose does not, and a line may go on after a backslash."""
    text = "We make do.\n```sh\n$ .venv/bin/tool run X \\\n  --fast --out FILE\n```\nThen `tool stop`; a tool is one.\n"
    assert list(typed(text, "tool")) == [("run", ["--fast", "--out"]), ("stop", [])]
    assert list(typed(text, "make")) == []


def test_the_readme_names_targets_of_the_makefile() -> None:
    """Every `make ...` of the README is a target."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert {target for target, _ in typed(readme, "make")} <= make_targets()


def test_the_readme_names_commands_and_their_options() -> None:
    """Every `flightsrv ...` of the README is a command that has the options which are given to it."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name, options in typed(readme, "flightsrv"):
        assert name in main.commands
        known = {option for parameter in main.commands[name].params for option in parameter.opts}
        assert set(options) <= known | OPTIONS_OF_ALL, name
