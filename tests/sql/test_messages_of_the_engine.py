"""What users read where the engine complains."""

import pytest

from udtf.sql.worker.session import readable


@pytest.mark.parametrize(
    ("message", "read"),
    [
        ("DataFusion error: Error during planning: no such table", "no such table"),
        (
            "Execution error: Python error PyErr { type: <class 'pyarrow.lib.ArrowInvalid'>, value: ArrowInvalid"
            '(\'it does not fit\'), traceback: Some("Traceback (most recent call last):\\n  File \\"x.py\\"") }',
            "'it does not fit'",
        ),
    ],
)
def test_messages_do_not_tell_where_in_the_engine_they_arose(message: str, read: str) -> None:
    """Neither in Rust nor in Python."""
    assert readable(message) == read
