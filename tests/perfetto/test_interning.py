"""Scopes get one id each, and are defined before their first use."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.perfetto.recordings import PROCESS, intern, scope_lists
from udtf.lake.block_format import Scope
from udtf.perfetto.interning import Interned
from udtf.perfetto.perfetto_trace_pb2 import Trace, TracePacket
from udtf.perfetto.writer import TraceWriter


class Definitions:
    """What definitions define, by id; names and source locations must agree in their ids."""

    def __init__(self) -> None:
        self.names: dict[int, tuple[str, str, int]] = {}
        self.categories: dict[int, str] = {}

    def read(self, interned: Interned) -> None:
        for packet in Trace.FromString(b"".join(interned.definitions)).packet:
            data = packet.interned_data
            for name, location in zip(data.event_names, data.source_locations, strict=True):
                assert name.iid == location.iid
                assert name.iid not in self.names
                self.names[name.iid] = name.name, location.file_name, location.line_number
            for category in data.event_categories:
                assert category.iid not in self.categories
                self.categories[category.iid] = category.name

    def scopes(self, writer: TraceWriter, interned: Interned) -> list[Scope]:
        """The scopes that the begins of a table's ids stand for."""
        found = []
        for iid in interned.iids.tolist():
            body = writer.bodies.words[iid].tobytes()[: writer.bodies.lengths[iid]]
            event = TracePacket.FromString(body).track_event
            assert (event.name_iid, event.source_location_iid) == (iid, iid)
            name, filename, line = self.names[iid]
            found.append(Scope(name, self.categories[event.category_iids[0]], filename, line))
        return found


@given(st.lists(scope_lists, max_size=6))
def test_ids_mean_the_same_scope_in_all_tables(tables: list[list[Scope]]) -> None:
    """Scopes and categories are defined once, under ids that count from 1, before or with their first use."""
    writer = TraceWriter(PROCESS)
    definitions = Definitions()
    for table in tables:
        interned = intern(writer, table)
        definitions.read(interned)
        assert definitions.scopes(writer, interned) == table
    scopes = {scope for table in tables for scope in table}
    assert list(definitions.names) == list(range(1, len(scopes) + 1))
    assert list(definitions.categories) == list(range(1, len({scope.target for scope in scopes}) + 1))


def test_many_scopes_are_told_apart() -> None:
    """Ids survive the growth of the table behind them, and definitions come in several packets."""
    writer = TraceWriter(PROCESS)
    scopes = [Scope(f"function {i}", f"module {i % 300}", "file.py", i) for i in range(20_000)]
    first = intern(writer, scopes[:3000])
    everything = intern(writer, scopes)
    np.testing.assert_array_equal(first.iids, np.arange(1, 3001))
    np.testing.assert_array_equal(everything.iids, np.arange(1, 20_001))
    definitions = Definitions()
    definitions.read(first)
    definitions.read(everything)
    assert definitions.scopes(writer, everything) == scopes
    assert len(everything.definitions) > 1
    assert intern(writer, scopes).definitions == ()


def test_no_scopes_need_no_definitions() -> None:
    """A thread without spans has an empty table."""
    interned = intern(TraceWriter(PROCESS), [])
    assert len(interned.iids) == 0
    assert interned.definitions == ()


def test_texts_of_any_length_are_defined() -> None:
    """Where the sizes of messages take more bytes, too."""
    lengths = (0, 1, 100, 120, 127, 128, 129, 16_000, 16_383, 16_384, 3_000_000)
    scopes = [Scope("n" * length, "t" * length, "f" * length, 2**32 - 1 - length) for length in lengths]
    writer = TraceWriter(PROCESS)
    interned = intern(writer, scopes)
    definitions = Definitions()
    definitions.read(interned)
    assert definitions.scopes(writer, interned) == scopes
