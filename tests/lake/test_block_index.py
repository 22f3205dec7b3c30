"""The index of blocks in memory against the rows in the database."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st
from udtf.lake.block_index import MARGIN_NS, BlockIndex

from udtf.lake.metadata import BlockRow, MetadataStore, ProcessRow, StreamRow

STREAMS = ("a", "b")


def _block(stream_id: str, number: int, insert_time: int) -> BlockRow:
    return BlockRow(
        block_id=f"{stream_id}-{number}",
        stream_id=stream_id,
        process_id="process",
        begin_time=number,
        begin_ticks=number,
        end_time=number,
        end_ticks=number,
        nb_objects=1,
        object_offset=number,
        payload_size=1,
        insert_time=insert_time,
        payload_hash="hash",
        unmatched_ends=0,
        unmatched_begins=0,
    )


def _store(folder: Path) -> MetadataStore:
    metadata = MetadataStore(f"sqlite:///{folder / 'metadata.db'}")
    metadata.put_processes([ProcessRow("process", *[None] * 6, 10**9, 0, 0, 0, None, {}, 0)])
    metadata.put_streams([StreamRow(stream_id, "process", ["thread"], {}, "arrow-v1", 0, 0) for stream_id in STREAMS])
    return metadata


arrivals = st.lists(
    st.tuples(
        st.lists(st.tuples(st.sampled_from(STREAMS), st.integers(0, 30)), unique=True, max_size=5),
        st.integers(0, 3 * MARGIN_NS),
    ),
    max_size=8,
)


@settings(max_examples=40)
@given(arrivals=arrivals)
def test_the_index_knows_all_blocks_in_whatever_order_and_however_late_they_come(
    arrivals: list[tuple[list[tuple[str, int]], int]],
) -> None:
    """Rows that become visible with an insert time long past are found by their number."""
    with TemporaryDirectory() as folder:
        metadata = _store(Path(folder))
        index = BlockIndex(metadata)
        try:
            for blocks, insert_time in arrivals:
                metadata.put_blocks([_block(stream_id, number, insert_time) for stream_id, number in blocks])
                assert index.blocks_of("process") == metadata.blocks_of("process")
        finally:
            metadata.close()


def test_a_process_that_nothing_new_came_for_costs_no_new_rows(tmp_path: Path) -> None:
    """The very list of the last query is handed out again."""
    metadata = _store(tmp_path)
    index = BlockIndex(metadata)
    metadata.put_blocks([_block("a", 0, 1)])
    assert index.blocks_of("process") is index.blocks_of("process")
    metadata.close()
