"""What a server may use at once is said by flags, or by environment variables."""

import pytest
from click.testing import CliRunner

from flightsrv.cli import main
from flightsrv.cli.limits import Limits
from flightsrv.policy.connections import ConnectionLimits
from flightsrv.policy.limits import CallLimits
from flightsrv.server import lifecycle
from flightsrv.server.lifecycle import ServerSettings
from udtf.functions.settings import QuerySettings
from udtf.lake.settings import MIB, CacheSettings, DatabaseSettings, LakeSettings, StoreSettings


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[ServerSettings]:
    """The settings of servers that were asked for; none is started."""
    asked: list[ServerSettings] = []
    monkeypatch.setattr(lifecycle, "serve", lambda *arguments, member: asked.append(arguments[-1]))
    return asked


def _serve(*arguments: str, **environment: str) -> None:
    result = CliRunner().invoke(main, ["serve", "--lake", "x", *arguments], env=environment)
    assert result.exit_code == 0, result.output


def test_without_options_it_is_as_the_settings_say(served: list[ServerSettings]) -> None:
    """There is one place for defaults."""
    _serve()
    assert served == [ServerSettings()]


def test_flags_and_environment_say_the_same(served: list[ServerSettings]) -> None:
    """Each limit can be set by either."""
    flags = {
        "max-scans": "3",
        "chunk-bytes": "65536",
        "max-builds": "4",
        "max-store-requests": "5",
        "max-db-connections": "6",
        "file-cache-mib": "7",
        "max-cached-file-mib": "8",
        "row-cache-mib": "9",
        "max-calls": "17",
        "max-queries": "11",
        "max-wait-seconds": "12",
        "max-stall-seconds": "18",
        "max-query-seconds": "13",
        "max-result-mib": "14",
        "max-statement-mib": "3",
        "max-connections": "20",
        "max-connections-per-peer": "21",
        "max-idle-seconds": "22",
        "max-parameters": "19",
        "memory-mib": "150",
        "query-memory-mib": "75",
        "query-spill-mib": "16",
    }
    _serve(*(f"--{name}={value}" for name, value in flags.items()))
    _serve(**{f"FLIGHTSRV_SERVE_{name.upper().replace('-', '_')}": value for name, value in flags.items()})
    lake = LakeSettings(
        max_builds=4,
        store=StoreSettings(max_requests=5),
        database=DatabaseSettings(max_connections=6),
        caches=CacheSettings(file_bytes=7 * MIB, max_file_bytes=8 * MIB, row_bytes=9 * MIB),
    )
    calls = CallLimits(
        max_calls=17,
        max_queries=11,
        max_wait_s=12.0,
        max_stall_s=18.0,
        max_query_s=13.0,
        max_result_bytes=14 * MIB,
        max_statement_bytes=3 * MIB,
        max_parameters=19,
    )
    queries = QuerySettings(
        max_scans=3,
        chunk_bytes=65536,
        memory_bytes=150 * MIB,
        query_memory_bytes=75 * MIB,
        query_spill_bytes=16 * MIB,
        max_wait_s=12.0,
    )
    connections = ConnectionLimits(20, 21, 22.0)
    assert served == [ServerSettings(connections=connections, calls=calls, queries=queries, lake=lake)] * 2


def test_a_preset_gives_what_is_not_said_otherwise(served: list[ServerSettings]) -> None:
    """The preset for traces, with a smaller cache of files."""
    _serve("--caches", "traces")
    _serve("--caches", "traces", "--file-cache-mib", "100")
    first, second = (settings.lake.caches for settings in served)
    assert (first.file_bytes, first.max_file_bytes) == (1024 * MIB, 50 * MIB)
    assert (second.file_bytes, second.max_file_bytes) == (100 * MIB, 50 * MIB)


def test_several_processes_have_limits_together() -> None:
    """Each has its share, one at least. Limits of a single query or file are the same, and so are some caches."""
    whole = Limits(
        ConnectionLimits(max_connections=10, max_per_peer=5, max_idle_s=7.0),
        CallLimits(max_calls=9, max_queries=2, max_result_bytes=11),
        QuerySettings(max_scans=5, memory_bytes=900 * MIB, query_memory_bytes=100 * MIB),
        LakeSettings(
            max_builds=7,
            store=StoreSettings(max_requests=1),
            database=DatabaseSettings(max_connections=8),
            caches=CacheSettings(file_bytes=30, max_file_bytes=4, row_bytes=20, index_bytes=10),
        ),
    )
    assert whole.divided(1) == whole
    assert whole.divided(3) == Limits(
        ConnectionLimits(max_connections=4, max_per_peer=2, max_idle_s=7.0),
        CallLimits(max_calls=3, max_queries=1, max_result_bytes=11),
        QuerySettings(max_scans=5, memory_bytes=300 * MIB, query_memory_bytes=100 * MIB),
        LakeSettings(
            max_builds=3,
            nb_processes=3,
            store=StoreSettings(max_requests=1),
            database=DatabaseSettings(max_connections=3),
            caches=CacheSettings(file_bytes=10, max_file_bytes=4, row_bytes=20, index_bytes=10),
        ),
    )
