"""The events of a run: its blocks, decoded and put end to end."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from udtf.lake.block_format import AsyncColumns, Events
from udtf.lake.partition_file import ScopeTable
from udtf.lake.scopes import scope_hashes


def concatenate(blocks: Sequence[Events]) -> tuple[Events, ScopeTable]:
    """One table of events from those of the blocks, with the scopes of all of them, each once."""
    tables = [block.scope_table for block in blocks]
    hashes = [scope_hashes(table) for table in tables]
    if len(blocks) == 1:
        return blocks[0], ScopeTable(tables[0], hashes[0])
    all_hashes = np.concatenate(hashes)
    encoded = pa.array(all_hashes).dictionary_encode()
    codes = encoded.indices.to_numpy()
    first = np.empty(len(encoded.dictionary), np.int64)
    # The last of several writes stays: backwards, that is the first scope of each hash.
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    table = pa.concat_arrays(tables).take(pa.array(first))
    code_of = np.split(codes, np.cumsum([len(part) for part in hashes])[:-1])
    async_parts = [block.async_columns for block in blocks if block.async_columns is not None]
    events = Events(
        np.concatenate([block.ticks for block in blocks]),
        np.concatenate([block.kinds for block in blocks]),
        np.concatenate([code_of[i][block.scopes] for i, block in enumerate(blocks)]),
        table,
        AsyncColumns(
            np.concatenate([part.span_ids for part in async_parts]),
            np.concatenate([part.parent_span_ids for part in async_parts]),
            np.concatenate([part.depths for part in async_parts]),
        )
        if async_parts
        else None,
    )
    return events, ScopeTable(table, all_hashes[first])
