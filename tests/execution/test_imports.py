"""What processes do without."""

import subprocess
import sys

PROGRAM = """
import sys
from udtf.execution.imports import without_pandas
without_pandas()
import pyarrow as pa
pa.array([1, None])
assert "pandas" not in sys.modules
try:
    import pandas
except ImportError as error:
    assert "pandas" in str(error)
else:
    raise AssertionError
import email  # others are found as before
"""


def test_pyarrow_does_without_pandas() -> None:
    """Which is installed where tests run."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
