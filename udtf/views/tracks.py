"""Processes and threads as a trace shows them, from their descriptions."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from udtf.lake.metadata import ProcessRow, StreamRow
from udtf.perfetto.tracks import ProcessTrack, ThreadTrack

_RANK = re.compile(r"-?[0-9]{1,10}")


def process_tracks(processes: Sequence[ProcessRow]) -> list[ProcessTrack]:
    """Some processes of one trace, whose pids are all different: the viewer takes those of one pid for one process. One
    whose pid another has before it is shown under a pid made from its own id."""
    tracks: list[ProcessTrack] = []
    used: set[int] = set()
    for track in map(process_track, processes):
        if track.shown_pid in used:
            track = replace(track, pid=None)
        used.add(track.shown_pid)
        tracks.append(track)
    return tracks


def process_track(process: ProcessRow) -> ProcessTrack:
    return ProcessTrack(
        process_id=process.process_id,
        name=process.exe or process.process_id,
        pid=process.properties.get("pid"),
        start_ns=process.start_time,
        command_line=tuple(filter(None, [process.properties.get("command-line")])),
        labels=tuple(filter(None, [process.properties.get("labels")])),
        rank=_rank(process.properties),
    )


def thread_track(stream: StreamRow) -> ThreadTrack:
    return ThreadTrack(
        stream_id=stream.stream_id,
        name=stream.thread_name,
        tid=stream.properties.get("thread-id"),
        rank=_rank(stream.properties),
    )


def _rank(properties: Mapping[str, str | None]) -> int | None:
    """What `sort-index` says, if it is a number of 32 bits."""
    text = properties.get("sort-index") or ""
    return int(text) if _RANK.fullmatch(text) and abs(int(text)) < 1 << 31 else None
