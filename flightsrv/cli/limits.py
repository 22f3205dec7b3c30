"""Options of a server that bound what it uses at once: threads, requests, connections, memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import click

from flightsrv.policy.connections import ConnectionLimits
from flightsrv.policy.limits import MAX_PARAMETERS, CallLimits
from udtf.functions.settings import MAX_CHUNK_BYTES, MIN_CHUNK_BYTES, MIN_QUERY_MEMORY_BYTES, QuerySettings
from udtf.lake.settings import MIB, TRACE_GENERATION, CacheSettings, DatabaseSettings, LakeSettings, StoreSettings

QUERIES = QuerySettings()
CALLS = CallLimits()
STORE = StoreSettings()
DATABASE = DatabaseSettings()
CONNECTIONS = ConnectionLimits()
PRESETS = {"standard": CacheSettings(), "traces": TRACE_GENERATION}

_CONNECTION_OPTIONS = [
    click.option(
        "--max-connections",
        type=click.IntRange(1),
        default=CONNECTIONS.max_connections,
        show_default=True,
        help="Most connections to a port; beyond that, those that have been idle for longest are closed.",
    ),
    click.option(
        "--max-connections-per-peer",
        type=click.IntRange(1),
        default=CONNECTIONS.max_per_peer,
        show_default=True,
        help="Most of them from one address, as that of a proxy is for all callers behind it.",
    ),
]

_OPTIONS = [
    *_CONNECTION_OPTIONS,
    click.option(
        "--max-idle-seconds",
        type=click.FloatRange(1),
        default=CONNECTIONS.max_idle_s,
        show_default=True,
        help="How long a connection may be without a call; clients make a new one when they need it.",
    ),
    click.option(
        "--max-calls",
        type=click.IntRange(1),
        default=CALLS.max_calls,
        show_default=True,
        help="Most calls at once, waiting queries included; further ones are refused.",
    ),
    click.option(
        "--max-queries",
        type=click.IntRange(1),
        default=CALLS.max_queries,
        show_default=True,
        help="Most queries that run at once; further ones wait.",
    ),
    click.option(
        "--max-wait-seconds",
        type=click.FloatRange(0),
        default=CALLS.max_wait_s,
        show_default=True,
        help="Longest time that a query waits to run before it is refused.",
    ),
    click.option(
        "--max-stall-seconds",
        type=click.FloatRange(0, min_open=True),
        default=CALLS.max_stall_s,
        show_default=True,
        help="Longest time that a client may neither read nor send before its call is ended.",
    ),
    click.option(
        "--max-query-seconds",
        type=click.FloatRange(0, min_open=True),
        help="Longest time that a query may run, including the time its client takes to read. Default: no limit.",
    ),
    click.option("--max-result-mib", type=click.IntRange(1), help="Largest result. Default: no limit."),
    click.option(
        "--max-statement-mib",
        type=click.IntRange(1, 16),
        default=CALLS.max_statement_bytes // MIB,
        show_default=True,
        help="How long a statement may be, or a Substrait plan.",
    ),
    click.option(
        "--max-parameters",
        type=click.IntRange(1, MAX_PARAMETERS),
        default=CALLS.max_parameters,
        show_default=True,
        help="Most placeholders in a statement.",
    ),
    click.option(
        "--memory-mib",
        type=click.IntRange(1),
        default=QUERIES.memory_bytes // MIB,
        show_default=True,
        help="Memory for all queries that sort, join or aggregate; as many run at once as fit into it.",
    ),
    click.option(
        "--query-memory-mib",
        type=click.IntRange(MIN_QUERY_MEMORY_BYTES // MIB),
        default=QUERIES.query_memory_bytes // MIB,
        show_default=True,
        help="Memory for one such query.",
    ),
    click.option(
        "--query-spill-mib",
        type=click.IntRange(0),
        default=QUERIES.query_spill_bytes // MIB,
        show_default=True,
        help="Disk space that one such query may use beyond its memory, in the folder for temporary files (TMPDIR).",
    ),
    click.option(
        "--max-scans",
        type=click.IntRange(1),
        show_default="the number of cores, 2 at least; 32 on a remote store",
        help="Most partitions that one query reads at once.",
    ),
    click.option(
        "--chunk-bytes",
        type=click.IntRange(MIN_CHUNK_BYTES, MAX_CHUNK_BYTES),
        default=QUERIES.chunk_bytes,
        show_default=True,
        help="Approximate size of the chunks of a trace.",
    ),
    click.option(
        "--max-builds",
        type=click.IntRange(1),
        show_default="the number of cores, 2 at least; 32 on a remote store",
        help="Most partitions that all queries together make at once.",
    ),
    click.option(
        "--max-store-requests",
        type=click.IntRange(1),
        default=STORE.max_requests,
        show_default=True,
        help="Most requests to the object store at once.",
    ),
    click.option(
        "--max-db-connections",
        type=click.IntRange(1),
        default=DATABASE.max_connections,
        show_default=True,
        help="Most connections to the metadata database.",
    ),
    click.option(
        "--caches",
        type=click.Choice(list(PRESETS)),
        default="standard",
        show_default=True,
        help="Sizes of the caches: standard keeps 500 MiB of files of up to 20 MiB each; traces, for a server that "
        "mostly makes traces of large processes, 1024 and 50.",
    ),
    click.option("--file-cache-mib", type=click.IntRange(0), help="Cache for files of partitions; overrides --caches."),
    click.option(
        "--max-cached-file-mib",
        type=click.IntRange(0),
        help="Largest file to cache.",
    ),
    click.option(
        "--row-cache-mib",
        type=click.IntRange(0),
        help="Cache for decoded rows of small queries. Default: 64.",
    ),
    click.option(
        "--index-cache-mib",
        type=click.IntRange(0),
        help="Cache for indexes of segments. Default: 16.",
    ),
]


@dataclass(frozen=True)
class Limits:
    """What the options say."""

    connections: ConnectionLimits
    calls: CallLimits
    queries: QuerySettings
    lake: LakeSettings

    def divided(self, nb_processes: int) -> "Limits":
        """The limits of one of several processes that have these together, each rounded up. What a single query,
        message or file may have stays as it is, and so do the caches of what is decoded."""

        share = partial(share_of, nb_processes=nb_processes)
        connections, caches, lake = self.connections, self.lake.caches, self.lake
        return Limits(
            replace(
                connections,
                max_connections=share(connections.max_connections),
                max_per_peer=share(connections.max_per_peer),
            ),
            replace(self.calls, max_calls=share(self.calls.max_calls), max_queries=share(self.calls.max_queries)),
            replace(self.queries, memory_bytes=share(self.queries.memory_bytes)),
            replace(
                lake,
                nb_processes=nb_processes,
                max_builds=None if lake.max_builds is None else share(lake.max_builds),
                store=replace(lake.store, max_requests=share(lake.store.max_requests)),
                # Rows and indexes that a process does not keep, it has to decode again for each question.
                caches=replace(caches, file_bytes=share(caches.file_bytes)),
                database=replace(lake.database, max_connections=share(lake.database.max_connections)),
            ),
        )


def share_of(most: int, nb_processes: int) -> int:
    """What each of several processes may have that have so much together, rounded up."""
    return -(-most // nb_processes)


def limit_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options of this module. It takes them as keywords, and hands them to `limits_of`."""
    return _with_options(command, _OPTIONS)


def connection_options(command: Callable[..., None]) -> Callable[..., None]:
    """The same for a command that has connections only, and hands them to `connection_limits_of`."""
    return _with_options(command, _CONNECTION_OPTIONS)


def _with_options(
    command: Callable[..., None], options: Sequence[Callable[[Callable[..., None]], Callable[..., None]]]
) -> Callable[..., None]:
    for option in reversed(options):
        command = option(command)
    return command


def limits_of(options: dict[str, Any]) -> Limits:
    """The settings that the values of the options mean."""
    sizes = {
        "file_bytes": options["file_cache_mib"],
        "max_file_bytes": options["max_cached_file_mib"],
        "row_bytes": options["row_cache_mib"],
        "index_bytes": options["index_cache_mib"],
    }
    given = {name: size * MIB for name, size in sizes.items() if size is not None}
    lake = LakeSettings(
        max_builds=options["max_builds"],
        store=replace(STORE, max_requests=options["max_store_requests"]),
        caches=replace(PRESETS[options["caches"]], **given),
        database=replace(DATABASE, max_connections=options["max_db_connections"]),
    )
    max_result_mib = options["max_result_mib"]
    calls = CallLimits(
        max_calls=options["max_calls"],
        max_queries=options["max_queries"],
        max_wait_s=options["max_wait_seconds"],
        max_stall_s=options["max_stall_seconds"],
        max_query_s=options["max_query_seconds"],
        max_result_bytes=None if max_result_mib is None else max_result_mib * MIB,
        max_statement_bytes=options["max_statement_mib"] * MIB,
        max_parameters=options["max_parameters"],
    )
    queries = QuerySettings(
        max_scans=options["max_scans"],
        chunk_bytes=options["chunk_bytes"],
        memory_bytes=options["memory_mib"] * MIB,
        query_memory_bytes=options["query_memory_mib"] * MIB,
        query_spill_bytes=options["query_spill_mib"] * MIB,
        max_wait_s=options["max_wait_seconds"],
    )
    connections = replace(connection_limits_of(options), max_idle_s=options["max_idle_seconds"])
    return Limits(connections, calls, queries, lake)


def connection_limits_of(options: dict[str, Any]) -> ConnectionLimits:
    """The limits that the values of `connection_options` mean."""
    return replace(
        CONNECTIONS,
        max_connections=options["max_connections"],
        max_per_peer=options["max_connections_per_peer"],
    )
