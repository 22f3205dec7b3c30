"""The referee: what a lake must answer, in plain Python, slow and obviously right.

It is written from the meaning of the words alone and shares nothing with the code that it judges but the
native block format, through which telemetry gets in.

    telemetry     what an application recorded, and the blocks that it is cut into
    spans         what the views must hold
    slices        what a trace must show
    strategies    random telemetry for Hypothesis
    trace_reader  Perfetto bytes -> slices
    lake          telemetry -> lake, SQL -> rows
"""
