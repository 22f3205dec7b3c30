"""What a worker does: plan what it is told to plan, and run it if it is told to."""

from threading import Lock

from udtf.errors import InvalidArgument
from udtf.sql.messages import Ended, Failed, Greeting, Message, Plan, Planned, Rows, Run, decode_request, encode
from udtf.sql.panics import EnginePanic
from udtf.sql.worker.conditions import write_filters
from udtf.sql.worker.remote_tables import MAX_MESSAGE_BYTES, RemoteTables, TableRefused
from udtf.sql.worker.session import Session, SystemRefused
from udtf.workers.channel import Channel


def work(channel: Channel) -> None:
    """Serve an engine until it hangs up."""
    write_filters()
    try:
        _Worker(channel).work()
    except (EOFError, OSError):
        return


class _Worker:
    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._sending = Lock()
        self._tables = RemoteTables(channel, self._sending)
        self._sessions: dict[str, Session] = {}

    def work(self) -> None:
        greeting = self._receive()
        assert isinstance(greeting, Greeting)
        session: Session | None = None
        while True:
            match self._receive():
                case Plan() as wanted:
                    session = self._sessions.get(wanted.db_schema)
                    if session is None:
                        session = Session(greeting.catalog, greeting.limits, self._tables, wanted.db_schema)
                        self._sessions[wanted.db_schema] = session
                    self._say(self._plan(session, wanted))
                case Run() if session is not None:
                    self._say(self._run(session))

    def _plan(self, session: Session, wanted: Plan) -> Planned | Failed:
        try:
            return session.plan(wanted)
        except TableRefused:
            return Failed("statement", "a table was refused")
        except MemoryError as error:
            return Failed("limit", str(error))
        except InvalidArgument as error:
            return Failed("statement", str(error))
        except Exception as error:
            return Failed("panic", str(error))

    def _run(self, session: Session) -> Ended | Failed:
        try:
            for batch in session.batches():
                with self._sending:
                    self._channel.send(*encode(Rows(batch)))
        except MemoryError as error:
            return Failed("limit", str(error))
        except SystemRefused as error:
            return Failed("system", str(error))
        except InvalidArgument as error:
            return Failed("statement", str(error))
        except EnginePanic as error:
            return Failed("panic", str(error))
        return Ended()

    def _receive(self) -> Message:
        return decode_request(self._channel.receive(MAX_MESSAGE_BYTES))

    def _say(self, message: Message) -> None:
        with self._sending:
            self._channel.send(*encode(message))
