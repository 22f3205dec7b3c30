"""Questions and answers between two processes that trust each other, over a pair of sockets."""

import itertools
import socket
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any


class ChannelClosed(Exception):
    """The process at the other end has ended."""


class Channel:
    """One end of a pair of sockets. Both ends may ask. Safe to use from many threads.

    Args:
        end: the socket; the channel takes it over.
        answers: functions by the names of the questions that they answer. They get the arguments of the question.
        slow: names of those that may take long, or ask something themselves. Each of them has a thread of its own; the
            others are called one after the other, in the order in which their questions came.
        on_end: called once, when the process at the other end has ended.

    Nothing is read before `start`.
    """

    def __init__(
        self,
        end: socket.socket,
        answers: Mapping[str, Callable[..., object]],
        *,
        slow: Collection[str] = (),
        on_end: Callable[[], None],
    ) -> None:
        self._connection = Connection(end.detach())
        self._answers = answers
        self._slow = slow
        self._on_end = on_end
        self._sending = threading.Lock()
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._waiting: dict[int, Future[Any]] = {}
        self._is_closed = False

    def start(self) -> None:
        """Begin to answer, and to be answered."""
        threading.Thread(target=self._read, name="channel", daemon=True).start()

    def begin(self, question: str, *arguments: object) -> "Future[Any]":
        """Ask, and wait for the answer later. It may be ChannelClosed, or what the function at the other end raised."""
        answer: Future[Any] = Future()
        with self._lock:
            number = next(self._numbers)
            if self._is_closed:
                answer.set_exception(ChannelClosed())
                return answer
            self._waiting[number] = answer
        self._send((number, question, arguments))
        return answer

    def ask(self, question: str, *arguments: object) -> Any:
        """Ask, and wait for the answer.

        Raises:
            ChannelClosed: there will be none.
        """
        return self.begin(question, *arguments).result()

    def tell(self, question: str, *arguments: object) -> None:
        """Ask without waiting for an answer, which may be lost."""
        self._send((None, question, arguments))

    def _send(self, message: object) -> None:
        # Where the other process has ended, the thread that reads finds that out as well.
        with self._sending, suppress(OSError):
            self._connection.send(message)

    def _read(self) -> None:
        try:
            while True:
                number, question, content = self._connection.recv()
                if question is None:
                    self._take(number, *content)
                elif question in self._slow:
                    arguments = (number, question, content)
                    threading.Thread(target=self._answer, args=arguments, name=question, daemon=True).start()
                else:
                    self._answer(number, question, content)
        except (EOFError, OSError):
            pass
        finally:
            self._end()

    def _take(self, number: int, value: object, error: Exception | None) -> None:
        with self._lock:
            answer = self._waiting.pop(number)
        if error is None:
            answer.set_result(value)
        else:
            answer.set_exception(error)

    def _answer(self, number: int | None, question: str, arguments: tuple[object, ...]) -> None:
        value, error = None, None
        try:
            value = self._answers[question](*arguments)
        except Exception as raised:
            error = raised
        if number is not None:
            self._send((number, None, (value, error)))

    def _end(self) -> None:
        with self._lock:
            self._is_closed = True
            waiting = list(self._waiting.values())
            self._waiting.clear()
        self._connection.close()
        for answer in waiting:
            answer.set_exception(ChannelClosed())
        self._on_end()
