"""What programs are called."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udtf.perfetto.program_name import program_name


@pytest.mark.parametrize(
    ("exe", "command_line", "expected"),
    [
        ("/opt/orchestra/conductor", "conductor --all", "conductor"),
        ("/opt/two words/данные 7", "", "данные 7"),
        (r"C:\Program Files\Tiles\tiles.exe", "", "tiles.exe"),
        ("bin/app", "", "app"),
        ("httpd", "", "httpd"),
        ("Renderer: https://example.org/a page", "", "Renderer: https://example.org/a page"),
        ("/usr/bin/python3", "python3 svc.py", "svc.py"),
        ("/usr/bin/python3.11", "/usr/bin/python3.11 -X dev -u jobs/clean.py --all", "clean.py"),
        ("/venv/bin/python", "python -W error -m jobs.weekly --dry", "jobs.weekly"),
        ("/venv/bin/python3.13t", "python3.13t -O /venv/bin/gunicorn app:app", "gunicorn"),
        (r"C:\Python311\pythonw.exe", r"pythonw.exe C:\jobs\clean.py", "clean.py"),
        ("/usr/bin/pypy3", "pypy3 -c print(1) svc.py", "pypy3"),
        ("/usr/bin/python3", "python3", "python3"),
        ("/usr/bin/python3", "python3 -m", "python3"),
        ("/usr/bin/python3", "python3 -X", "python3"),
        ("/usr/bin/python3", "", "python3"),
        ("/usr/bin/python-config", "python-config svc.py", "python-config"),
    ],
)
def test_a_program_is_called_by_what_tells_it_apart(exe: str, command_line: str, expected: str) -> None:
    """Its own name, or that of what an interpreter runs."""
    assert program_name(exe, command_line) == expected


@given(st.text(min_size=1), st.text())
def test_every_program_has_a_name(exe: str, command_line: str) -> None:
    """Whatever telemetry says."""
    assert program_name(exe, command_line)
