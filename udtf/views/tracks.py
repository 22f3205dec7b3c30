"""Processes and threads as a trace shows them, from their descriptions."""

from udtf.lake.metadata import ProcessRow, StreamRow
from udtf.perfetto.tracks import ProcessTrack, ThreadTrack


def process_track(process: ProcessRow) -> ProcessTrack:
    return ProcessTrack(
        process_id=process.process_id,
        name=process.exe or process.process_id,
        pid=process.properties.get("pid"),
        start_ns=process.start_time,
        command_line=tuple(filter(None, [process.properties.get("command-line")])),
    )


def thread_track(stream: StreamRow) -> ThreadTrack:
    return ThreadTrack(stream_id=stream.stream_id, name=stream.thread_name, tid=stream.properties.get("thread-id"))
