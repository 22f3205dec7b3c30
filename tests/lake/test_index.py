"""Indexes: what is loose in some telemetry follows from what is loose in its parts."""

import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.model.lake import block_batch
from tests.model.spans import stream_spans
from tests.model.strategies import Delivery, deliveries, effort
from tests.model.telemetry import Block
from udtf.lake.index import Index, combine
from udtf.lake.ingestion.blocks import read_blocks
from udtf.lake.ingestion.open_history import index_of_blocks
from udtf.views.catalog import KINDS
from udtf.views.kind import Kind

Contents = dict[str, tuple[list[tuple[int, ...]], list[tuple[object, ...]]]]


def _indexes(kind: Kind, parts: list[list[Block]]) -> list[Index]:
    """The index of each part that has telemetry of a kind."""
    found = []
    for part in parts:
        for blocks, _ in read_blocks(block_batch(part)):
            if blocks.kind is kind:
                order = np.lexsort((blocks.first, blocks.stream_ids.dictionary_encode().indices.to_numpy()))
                found.append(index_of_blocks(blocks.take(order)))
    return found


def _contents(index: Index) -> Contents:
    """Runs and loose events by stream, with scopes in place of codes: the same for indexes that say the same."""
    contents: Contents = {}
    events = index.loose.rows.to_pylist()
    scopes = index.loose.scopes.scopes.to_pylist()
    for run, stream in enumerate(index.runs.streams.tolist()):
        runs, loose = contents.setdefault(index.stream_ids[stream].as_py(), ([], []))
        runs.append(tuple(int(column[run]) for name, column in vars(index.runs).items() if name != "streams"))
        for position in range(int(index.bounds[run]), int(index.bounds[run + 1])):
            event = {**events[position], "scope": tuple(scopes[events[position]["scope"]].values())}
            loose.append((int(index.ordinals[position]), *event.values()))
    return contents


def _parts(delivery: Delivery, dice: random.Random) -> list[list[Block]]:
    """The blocks of a delivery, those lost left out, as uploads in any order."""
    blocks = list(delivery.blocks)
    dice.shuffle(blocks)
    parts = []
    while blocks:
        size = dice.randint(1, len(blocks))
        parts.append(blocks[:size])
        blocks = blocks[size:]
    return parts


def _grouped(kind: Kind, parts: list[Index], dice: random.Random) -> Index:
    """Parts combined some at a time, at any depth, until one is left."""
    while len(parts) > 1:
        size = dice.randint(2, len(parts))
        chosen = dice.sample(range(len(parts)), size)
        together = combine(kind, [parts[i] for i in chosen])
        parts = [part for i, part in enumerate(parts) if i not in chosen] + [together]
    return parts[0]


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
@effort(24)
@given(delivery=deliveries(), seed=st.integers(0, 2**32 - 1))
def test_any_grouping_of_parts_says_the_same(kind: Kind, delivery: Delivery, seed: int) -> None:
    """Gaps included, whatever order the parts come in; and the same after a way through bytes."""
    dice = random.Random(seed)
    parts = _indexes(kind, _parts(delivery, dice))
    if not parts:
        return
    at_once = combine(kind, parts)
    assert _contents(_grouped(kind, parts, dice)) == _contents(at_once)
    decoded = [Index.decode(part.encode()) for part in parts]
    assert _contents(Index.decode(_grouped(kind, decoded, dice).encode())) == _contents(at_once)


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
@effort(24)
@given(delivery=deliveries(), seed=st.integers(0, 2**32 - 1))
def test_what_is_loose_in_all_is_open_or_an_orphan(kind: Kind, delivery: Delivery, seed: int) -> None:
    """As many begins as the model has spans without an end, and as many ends as it has orphans."""
    parts = _indexes(kind, _parts(delivery, random.Random(seed)))
    if not parts:
        return
    index = combine(kind, parts)
    loose = _contents(index)
    place_of_kind = 1 + index.loose.rows.schema.names.index("kind")
    for stream in delivery.process.streams:
        if stream.stream_id not in loose:
            continue
        spans = stream_spans(delivery.process, stream, delivery.blocks)
        kinds = [event[place_of_kind] for event in loose[stream.stream_id][1]]
        assert kinds.count(0) == sum(span.end_ns is None for span in spans.spans)
        assert kinds.count(1) == spans.orphan_ends


def test_loose_events_bring_no_scopes_but_their_own() -> None:
    """Else the index of a day would have every scope of the day."""
    for kind in (kind for kind in KINDS if "kind" in (field.name for field in kind.event)):
        scopes = [{"name": f"s{number}", "target": "", "filename": "", "line": 0} for number in range(100)]
        codes = np.repeat(np.arange(100, dtype=np.int32), 2)[:-1]
        fields: dict[str, object] = {"ticks": np.arange(199), "kind": (np.arange(199) % 2).astype(np.uint8)}
        fields |= {"span_id": np.arange(199) // 2 + 1, "parent_span_id": np.zeros(199, np.int64)}
        fields |= {"depth": np.zeros(199, np.uint32)}
        scope_type = next(field.type for field in kind.event if field.name == "scope")
        scope = pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(scopes, scope_type.value_type))
        columns = [scope if field.name == "scope" else pa.array(fields[field.name]) for field in kind.event]
        events = pa.ListArray.from_arrays(
            pa.array([0, 199], pa.int32()), pa.StructArray.from_arrays(columns, fields=list(kind.event))
        )
        batch = pa.record_batch({"stream_id": ["s"], "object_offset": [0], kind.column: events})
        [(blocks, _)] = read_blocks(batch)
        index = index_of_blocks(blocks)
        assert [row["name"] for row in index.loose.scopes.scopes.to_pylist()] == ["s99"]
