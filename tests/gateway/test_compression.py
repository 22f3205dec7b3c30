"""Which coding a client gets."""

import pytest

from flightsrv.gateway.compression import accepted_coding


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        ("", None),
        ("identity", None),
        ("br, deflate", None),
        ("gzip", "gzip"),
        ("GZip, br", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=1.0, zstd;q=0.5", "gzip"),
        ("zstd;q=0, gzip;q=0.1", "gzip"),
        ("*", "zstd"),
        ("zstd;q=0, *;q=0.5", "gzip"),
        ("*;q=0", None),
        ("gzip;q=much", None),
    ],
)
def test_the_best_that_is_accepted(header: str, coding: str | None) -> None:
    """By quality first, then by what is faster."""
    assert accepted_coding(header) == coding
