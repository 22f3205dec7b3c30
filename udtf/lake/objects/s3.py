"""What is particular to S3: s3fs and botocore are told to leave tries to the store, and how their failures look."""

from collections.abc import Mapping
from typing import Any

PROTOCOLS = ("s3", "s3a")

UPLOAD_OPTIONS = {"chunksize": 8 << 20}
"""Of files: parts of them are in memory one at a time, where s3fs would take 100 MB."""

_PASSING_CODES = {
    "InternalError",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
}
"""Error codes of S3 and of stores that speak like it; some come with status 400."""


def with_connections(options: Mapping[str, Any], max_connections: int) -> dict[str, Any]:
    """Options of s3fs under which a read is one request, tried once, on one of so many connections.

    As it is, s3fs asks for an object's size before it reads it, opens 10 connections at most, tries a read up to 25
    times (5 times for the answer, as often again for its body), and botocore tries each of these 5 times.
    """
    config = {
        "max_pool_connections": max_connections,
        "retries": {"total_max_attempts": 1, "mode": "standard"},
        **options.get("config_kwargs", {}),
    }
    return {"max_concurrency": 1, **options, "config_kwargs": config}


def try_once(files: Any) -> None:
    """The one setting that s3fs takes as an attribute only; the file system must be ours alone."""
    files.retries = 1


def passing_errors() -> tuple[type[Exception], ...]:
    """Exceptions for requests that had no answer, or half of one."""
    import aiohttp
    import botocore.exceptions
    from s3fs.core import S3_RETRYABLE_ERRORS

    return (*S3_RETRYABLE_ERRORS, botocore.exceptions.ConnectionError, aiohttp.ClientError)


def is_answer(error: Exception) -> bool:
    """Whether the store answered at all."""
    return _answer(error)[0] != 0


def is_passing_answer(error: Exception) -> bool:
    """Whether a store's answer asks for patience."""
    status, code = _answer(error)
    return status in (408, 429) or (status >= 500 and status != 501) or code in _PASSING_CODES


def is_beyond_the_end(error: Exception) -> bool:
    """Whether a store's answer says that an object has no such range."""
    return _answer(error)[0] == 416


def _answer(error: Exception) -> tuple[int, str]:
    """HTTP status and error code; 0 and nothing without an answer. s3fs keeps it in the cause of its exceptions."""
    answer = getattr(error.__cause__, "response", None)
    if not isinstance(answer, dict):
        return 0, ""
    return answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0), answer.get("Error", {}).get("Code", "")
