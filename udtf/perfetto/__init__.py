"""Perfetto traces: the one place that writes their bytes.

    writer.py        what a caller uses: the packets of one process, and their order in the file
    threads.py       spans of one thread -> packets on its track and on tracks below it
    async_spans.py   spans of one async stream -> packets on lanes, laid out by lanes.py
    logs.py          lines of logs -> instants on the tracks of their threads
    counters.py      values -> tracks of counters
    links.py         links -> flows between instants on the tracks of their threads
    linked.py        where whole spans are that links name by their ids
    interning.py     scopes, messages -> ids
    definitions.py   what ids stand for, as packets
    tracks.py        processes, threads and tracks below them: uuids, pids, tids, descriptions
    sequence.py      clocks, packet defaults, instants
    kernels.py       compiled loops from columns to bytes, which pieces.py calls for buffers of whole packets
    messages.py      message classes of proto/perfetto_trace.proto, for packets that are rare

The layout
==========

All packets are of one sequence, so that all threads share interned ids and the trace processor keeps one state:

1. start: incremental state cleared; REALTIME and BOOTTIME, the clock of a trace's times, agree
2. descriptors of the process and of its threads
3. for each thread
   - definitions of scopes and categories that no thread before it used
   - a clock snapshot, where BOOTTIME and the sequence's own incremental clock read 0, and packet defaults: that
     clock, and the thread's track
   - events: a BEGIN holds type, name, category and source location by id; an END holds its type. Where 512 spans are
     open, which is all that a track takes, the ones above them are on a track below the thread's, which their events
     name and whose descriptor stands before its first event
4. for each async stream the same, but its events name their lane, whose descriptor stands before its first event

A timestamp counts from the event before, so it takes two bytes up to 16 us, three up to 2 ms, four up to 268 ms. That
every thread counts from 0 costs five bytes a thread and makes files with traces of several processes valid in any
order: the trace processor refuses snapshots of the trace clock that go back.

5. for the log of each thread, and of the process: definitions of messages that are new, a clock snapshot and defaults
   as above, and its lines. The ids of messages begin above those of scopes, and take five bytes
6. for each counter its descriptor, a snapshot and defaults, and its values, the whole ones as integers
7. for the links of each thread twice a snapshot and defaults: the instants where they begin, which name their tracks,
   and those on the thread, where they end. Both have the id of their flow, which counts from the id of the stream on.
   In a trace of several processes, links stand behind all of these, for each process with a start as in 1: a link may
   begin in another process, and where it does at the very begin of a span, that has to be there before

Events do not carry SEQ_NEEDS_INCREMENTAL_STATE. The flag makes a reader drop packets after a loss within the sequence,
which a file that was written whole does not have; without it the trace processor reads the same slices and counts
no error. The rare packets carry it.

Bytes per span, of 1 M spans on 50 threads with 2,000 scopes and 1.5 ms between the events of a thread:

    ====================================================  =====
    as it is                                               33.5
    events between 2 ms and 268 ms apart                   35.5
    events less than 16 us apart                           31.0
    with SEQ_NEEDS_INCREMENTAL_STATE on every event        37.5
    categories under the ids of scopes                     34.4
    without source locations                               29.4
    async: with its lane in every event                    53.5
    ====================================================  =====
"""
