"""Processes that are made rather than recorded, so that a test knows every span."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from flightsrv import telemetry
from flightsrv.client import QueryClient
from flightsrv.tracing.attributes import encode
from udtf.lake.block_format import BEGIN, END, AsyncColumns, Events, Scope, scope_array

MS = 1_000_000
START_NS = 1_767_261_600_000_000_000
"""2026-01-01T10:00:00Z"""

SCOPES = scope_array([Scope("job", "app.jobs", "jobs.py", 10), Scope("step", "app.jobs", "jobs.py", 20)])
JOB, STEP = 0, 1

BATCH_BLOCKS = 5_000
"""As many as a server takes at once, and fewer."""


@dataclass(frozen=True)
class Job:
    """A span `job` on a thread, with spans `step` one after another in it; times count from the process's start."""

    begin_ms: float
    end_ms: float
    steps: int = 1
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Noted when it begins."""


@dataclass(frozen=True)
class Program:
    """What a process did: the jobs of each thread, and the async spans `job`, each of which may overlap others. Threads
    in `unfinished` begin a last job then, which does not end, and a step in it."""

    threads: Mapping[str, Sequence[Job]]
    requests: Sequence[Job] = ()
    exe: str = "/usr/bin/app"
    start_ns: int = START_NS
    computer: str = "host-1"
    properties: Mapping[str, str] = field(default_factory=dict)
    unfinished: Mapping[str, float] = field(default_factory=dict)
    parent: str | None = None


def record(client: QueryClient, program: Program, process_id: str | None = None) -> str:
    """Send a process to a server; returns its id, a new one unless told otherwise."""
    process = telemetry.Process(
        process_id or str(uuid.uuid4()),
        1_000_000_000,
        program.start_ns,
        0,
        exe=program.exe,
        username="ada",
        computer=program.computer,
        properties=program.properties,
        parent_process_id=program.parent,
    )
    client.ingest("processes", telemetry.processes_batch([process]))
    blocks: list[telemetry.Block] = []
    streams: list[telemetry.Stream] = []
    for number, (name, jobs) in enumerate(program.threads.items()):
        stream = telemetry.thread_stream(str(uuid.uuid4()), process.process_id, name, 100 + number)
        streams.append(stream)
        offset = 0
        for job in jobs:
            events = job_events(job)
            blocks.extend(telemetry.cut_blocks(stream, events, offset))
            offset += len(events)
        if name in program.unfinished:
            blocks.extend(telemetry.cut_blocks(stream, unfinished_events(program.unfinished[name]), offset))
    if program.requests:
        stream = telemetry.async_stream(str(uuid.uuid4()), process.process_id, "event loop", 100)
        streams.append(stream)
        blocks.extend(telemetry.cut_blocks(stream, request_events(program.requests)))
    if streams:
        client.ingest("streams", telemetry.streams_batch(streams))
    for begin in range(0, len(blocks), BATCH_BLOCKS):
        client.ingest("blocks", telemetry.blocks_batch(blocks[begin : begin + BATCH_BLOCKS]))
    return process.process_id


def job_events(job: Job) -> Events:
    """Begin of the job, begin and end of each step, end of the job."""
    edges = np.linspace(job.begin_ms * MS, job.end_ms * MS, 2 * job.steps + 2).astype(np.int64)
    kinds = np.array([BEGIN, *[BEGIN, END] * job.steps, END], np.uint8)
    scopes = np.array([JOB, *[STEP, STEP] * job.steps, JOB], np.int32)
    noted = [encode(dict(job.attributes)), *[b""] * (len(edges) - 1)] if job.attributes else None
    return Events(edges, kinds, scopes, SCOPES, attributes=noted and pa.array(noted, pa.binary()))


def unfinished_events(begin_ms: float) -> Events:
    """Begin of the job, and a millisecond later that of a step."""
    ticks = (np.array([begin_ms, begin_ms + 1]) * MS).astype(np.int64)
    return Events(ticks, np.array([BEGIN, BEGIN], np.uint8), np.array([JOB, STEP], np.int32), SCOPES)


def request_events(requests: Sequence[Job]) -> Events:
    """Begins and ends of async spans in order of their times."""
    events = [(request.begin_ms, BEGIN, number) for number, request in enumerate(requests, 1)]
    events += [(request.end_ms, END, number) for number, request in enumerate(requests, 1)]
    events.sort()
    ticks, kinds, ids = zip(*events, strict=True)
    zeros = np.zeros(len(events), np.int64)
    return Events(
        (np.array(ticks) * MS).astype(np.int64),
        np.array(kinds, np.uint8),
        zeros.astype(np.int32),
        SCOPES,
        AsyncColumns(np.array(ids, np.int64), zeros, zeros.astype(np.uint32)),
    )
