"""What goes into a channel comes out of it, and no more than the receiver asked for."""

import socket
import struct
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udtf.workers.channel import MAX_PARTS, Channel, MalformedMessage

MAX_BYTES = 1 << 30


def pair() -> tuple[Channel, Channel]:
    ours, theirs = socket.socketpair()
    return Channel(ours), Channel(theirs)


@given(st.lists(st.lists(st.binary(max_size=100), max_size=4), max_size=4))
def test_messages_arrive_as_they_were(sent: list[list[bytes]]) -> None:
    """In parts, some of them empty, also none."""
    ours, theirs = pair()
    for parts in sent:
        ours.send(*parts)
    assert [[part.to_pybytes() for part in theirs.receive(MAX_BYTES)] for _ in sent] == sent
    ours.close()
    theirs.close()


def test_messages_and_sockets_take_turns() -> None:
    """In the order in which they were sent; a large one, too."""
    ours, theirs = pair()
    said = [b"x" * 10_000_000, b"no", b""]

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
        assert theirs.receive(MAX_BYTES) == [message]
        with theirs.receive_socket() as end:
            assert end.recv(5) == b"hello"
    sender.join()
    assert not theirs.poll(0)


def test_a_closed_end_is_an_error_at_the_other() -> None:
    """Whichever way, also in the middle of something."""
    ours, theirs = pair()
    ours._end.sendall(b"\xff\x00")
    ours.close()
    assert theirs.poll(0)
    for _ in range(2):
        with pytest.raises(EOFError):
            theirs.receive(MAX_BYTES)
    with pytest.raises(OSError, match="pipe"):
        theirs.send(b"anybody?")


@pytest.mark.parametrize(
    "head",
    [
        struct.pack("<I", MAX_PARTS + 1),
        struct.pack("<IQ", 1, MAX_BYTES + 1),
        struct.pack("<IQQ", 2, MAX_BYTES, 1),
        struct.pack("<IQQ", 2, 2**64 - 1, 1),
    ],
)
def test_no_more_is_read_than_was_asked_for(head: bytes) -> None:
    """A message that claims more is refused before memory is taken for it."""
    ours, theirs = pair()
    ours._end.sendall(head)
    with pytest.raises(MalformedMessage):
        theirs.receive(MAX_BYTES)


class Enough(Exception):
    """A check that ends a wait."""


def enough() -> None:
    raise Enough


def test_a_wait_in_the_middle_of_a_message_can_be_ended() -> None:
    """For the rest of one that was begun, and for room to send one."""
    ours, theirs = pair()
    ours.check = theirs.check = enough
    ours._end.sendall(struct.pack("<IQ", 1, 1))
    with pytest.raises(Enough):
        theirs.receive(MAX_BYTES)
    with pytest.raises(Enough):
        theirs.send(bytes(10_000_000))


def test_hanging_up_ends_the_waits_of_other_threads() -> None:
    """At this end."""
    ours, theirs = pair()
    errors: list[type[Exception]] = []

    def receive() -> None:
        try:
            ours.receive(MAX_BYTES)
        except EOFError as error:
            errors.append(type(error))

    receiver = threading.Thread(target=receive)
    receiver.start()
    ours.hang_up()
    receiver.join()
    assert errors == [EOFError]
    theirs.close()
