"""What goes into a channel comes out of it."""

import socket
import threading

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from udtf.sql.messages import Failed, Plan
from udtf.workers.channel import Channel, rows

COLUMNS = {
    "n": st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)).map(lambda values: pa.array(values, pa.int64())),
    "text": st.lists(st.none() | st.text(max_size=20)).map(lambda values: pa.array(values, pa.utf8())),
    "coded": st.lists(st.none() | st.text(max_size=3)).map(
        lambda values: pa.array(values, pa.utf8()).dictionary_encode()
    ),
    "bytes": st.lists(st.binary(max_size=100)).map(lambda values: pa.array(values, pa.binary())),
}


@st.composite
def batches(draw: st.DrawFn) -> pa.RecordBatch:
    """Any rows, also without columns."""
    columns = {name: draw(column) for name, column in COLUMNS.items() if draw(st.booleans())}
    length = min((len(column) for column in columns.values()), default=0)
    if not columns:
        return pa.record_batch({"gone": [None] * draw(st.integers(0, 100))}).select([])
    return pa.record_batch({name: column.slice(len(column) - length) for name, column in columns.items()})


def pair() -> tuple[Channel, Channel]:
    ours, theirs = socket.socketpair()
    return Channel(ours), Channel(theirs)


@given(st.lists(batches(), max_size=4))
def test_rows_arrive_as_they_were(sent: list[pa.RecordBatch]) -> None:
    """Dictionaries, slices, no columns and all."""
    ours, theirs = pair()

    def send() -> None:
        for batch in sent:
            ours.send_rows(batch)
        ours.end_rows()

    sender = threading.Thread(target=send)
    sender.start()
    received = list(rows(theirs))
    sender.join()
    assert [batch.num_rows for batch in received] == [batch.num_rows for batch in sent]
    assert all(got.equals(gave) for got, gave in zip(received, sent, strict=True))
    ours.close()
    theirs.close()


def test_messages_and_sockets_take_turns() -> None:
    """In the order in which they were sent; a large one, too."""
    ours, theirs = pair()
    said = [Plan("SELECT " + "x" * 10_000_000, "public"), Failed("limit", "no"), ("anything", 1)]

    def send() -> None:
        for message in said:
            ours.send(message)
            end, other_end = socket.socketpair()
            with other_end:
                ours.send_socket(other_end)
            end.sendall(b"hello")
            end.close()

    sender = threading.Thread(target=send)
    sender.start()
    for message in said:
        assert theirs.poll(60)
        assert theirs.receive() == message
        with theirs.receive_socket() as end:
            assert end.recv(5) == b"hello"
    sender.join()
    assert not theirs.poll(0)


def test_nobody_at_the_other_end_is_an_error() -> None:
    """Whichever way, also in the middle of something."""
    ours, theirs = pair()
    ours._end.sendall(b"\xff\x00")
    ours.close()
    assert theirs.poll(0)
    with pytest.raises(EOFError):
        theirs.receive()
    with pytest.raises(EOFError):
        theirs.receive_rows()
    with pytest.raises(OSError, match="pipe"):
        theirs.send("anybody?")
