"""`GET /api/processes`: a list to search, sort and page through."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel

from flightsrv.client import InvalidRequest, NotFound, QueryClient
from flightsrv.client.process_ids import DESCENDANTS
from flightsrv.client.times import rfc3339
from flightsrv.gateway.callers import Callers
from flightsrv.gateway.errors import problems
from flightsrv.gateway.parameters import known_parameters_only
from flightsrv.gateway.rows import placeholders, query_rows
from flightsrv.gateway.times import TimeText
from udtf.perfetto.program_name import program_name

MAX_PROCESSES = 100
"""Most processes that are asked for together."""

_ID = "[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_EXAMPLE = "7f9c24e8-3b1a-4f0e-9d53-0c2b6a1e4d77"

ProcessId = Annotated[str, Path(pattern=f"^{_ID}$", description="As `/api/processes` lists it.", examples=[_EXAMPLE])]


def _split(
    process_ids: Annotated[
        str,
        Path(
            pattern=f"^{_ID}(,{_ID})*$",
            description=f"One, or up to {MAX_PROCESSES} with commas between them, as `/api/processes` lists them.",
            examples=[_EXAMPLE],
        ),
    ],
) -> list[str]:
    """For FastAPI. Raises InvalidRequest."""
    ids = list(dict.fromkeys(process_ids.split(",")))
    if len(ids) > MAX_PROCESSES:
        raise InvalidRequest(f"process_ids must be at most {MAX_PROCESSES}, given: {len(ids)}")
    return ids


ProcessIds = Annotated[list[str], Depends(_split)]
"""Of processes that are asked for together, each once."""

SortColumn = Literal["start_time", "last_update_time", "exe", "computer", "username", "process_id"]

_COLUMNS = """
    process_id, exe, username, realname, computer, distro, cpu_brand, parent_process_id,
    arrow_cast(start_time, 'Int64') AS start_ns, arrow_cast(last_update_time, 'Int64') AS update_ns, properties,
    (SELECT count(*) FROM processes AS child WHERE child.parent_process_id = processes.process_id) AS nb_children
"""

_SEARCHED = """
    lower(concat_ws(' ', process_id, exe, username, realname, computer, distro,
                    array_to_string(map_values(properties), ' ')))
"""


class Process(BaseModel):
    """One run of a program; `program` is its name in a word, from `exe` and the command line. Children are the
    processes that it started itself."""

    process_id: str
    program: str
    exe: str | None
    username: str | None
    realname: str | None
    computer: str | None
    distro: str | None
    cpu_brand: str | None
    parent_process_id: str | None
    start_time: TimeText
    last_update_time: TimeText
    properties: dict[str, str]
    nb_children: int


class ProcessPage(BaseModel):
    """Some of the processes that were found, and how many there are."""

    processes: list[Process]
    total: int


def processes_router(callers: Callers) -> APIRouter:
    """The routes of this module."""
    Caller = Annotated[QueryClient, Depends(callers)]  # noqa: N806 (a type)
    router = APIRouter(prefix="/api/processes", tags=["processes"], dependencies=[Depends(known_parameters_only)])

    @router.get("", responses=problems(400, 422))
    def list_processes(
        client: Caller,
        search: Annotated[
            str,
            Query(max_length=200, description="Words that are all in the process's texts, or `property=value`."),
        ] = "",
        sort: SortColumn = "start_time",
        order: Literal["asc", "desc"] = "desc",
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        offset: Annotated[int, Query(ge=0, le=1_000_000_000)] = 0,
    ) -> ProcessPage:
        """Processes that the server knows, those that started last on top."""
        found, parameters = _condition(search.split())
        return _process_page(client, "", found, parameters, f"{sort} {order} NULLS LAST, process_id", limit, offset)

    @router.get("/{process_id}", responses=problems(404, 422))
    def one_process(client: Caller, process_id: ProcessId) -> Process:
        """What is known of a process."""
        return find_process(client, process_id)

    @router.get("/{process_id}/descendants", responses=problems(404, 422))
    def list_descendants(
        client: Caller,
        process_id: ProcessId,
        limit: Annotated[int, Query(ge=1, le=1000)] = MAX_PROCESSES - 1,
    ) -> ProcessPage:
        """The processes that a process started, those that these started, and so on; the first one on top."""
        check_known(client, [process_id])
        found = "process_id IN (SELECT process_id FROM descendants) AND process_id <> $1"
        return _process_page(client, DESCENDANTS, found, [process_id], "start_time, process_id", limit, 0)

    return router


def _process_page(
    client: QueryClient, before: str, found: str, parameters: Sequence[str], order: str, limit: int, offset: int
) -> ProcessPage:
    """Some of the processes of which the condition `found` is true; `before` is what the statement begins with."""
    rows = query_rows(
        client,
        f"{before} SELECT {_COLUMNS} FROM processes WHERE {found} ORDER BY {order} LIMIT {limit} OFFSET {offset}",
        parameters,
    )
    (count,) = query_rows(client, f"{before} SELECT count(*) AS total FROM processes WHERE {found}", parameters)
    return ProcessPage(processes=[_process(row) for row in rows], total=count["total"])


def _condition(words: list[str]) -> tuple[str, list[str]]:
    """SQL that is true of processes in whose texts all words are, and its parameters."""
    conditions: list[str] = []
    parameters: list[str] = []
    for word in words:
        parameters.append(word.lower())
        condition = f"strpos({_SEARCHED}, ${len(parameters)}) > 0"
        name, equals, value = word.partition("=")
        if equals:
            parameters += [name, value.lower()]
            property_value = f"lower(properties[${len(parameters) - 1}])"
            condition = f"({condition} OR strpos({property_value}, ${len(parameters)}) > 0)"
        conditions.append(condition)
    return " AND ".join(conditions) or "true", parameters


def check_known(client: QueryClient, process_ids: Sequence[str]) -> None:
    """Raises NotFound where the server does not know one of the processes."""
    condition = f"process_id IN ({placeholders(len(process_ids))})"
    rows = query_rows(client, f"SELECT process_id FROM processes WHERE {condition}", process_ids)
    known = {row["process_id"] for row in rows}
    for process_id in process_ids:
        if process_id not in known:
            raise NotFound(f"there is no process {process_id!r}")


def find_process(client: QueryClient, process_id: str) -> Process:
    """What is known of a process. Raises NotFound."""
    rows = query_rows(client, f"SELECT {_COLUMNS} FROM processes WHERE process_id = $1", [process_id])
    if not rows:
        raise NotFound(f"there is no process {process_id!r}")
    return _process(rows[0])


def _process(row: dict[str, Any]) -> Process:
    start_ns, update_ns = row.pop("start_ns"), row.pop("update_ns")
    program = program_name(row["exe"] or "unnamed program", row["properties"].get("command-line", ""))
    return Process(**row, program=program, start_time=rfc3339(start_ns), last_update_time=rfc3339(update_ns))
