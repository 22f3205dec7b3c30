"""What a worker does: plan what it is told to plan, and run it if it is told to."""

from threading import Lock

from udtf.errors import InvalidArgument
from udtf.sql.messages import Ended, Failed, Plan, Planned, Rows, Run
from udtf.sql.panics import EnginePanic
from udtf.sql.worker.conditions import write_conditions
from udtf.sql.worker.remote_tables import RemoteTables, TableRefused
from udtf.sql.worker.session import Session, SystemRefused
from udtf.workers.channel import Channel


def work(channel: Channel) -> None:
    """Serve an engine until it hangs up."""
    write_conditions()
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
        catalog, limits = self._channel.receive()
        session: Session | None = None
        while True:
            match self._channel.receive():
                case Plan() as wanted:
                    session = self._sessions.get(wanted.db_schema)
                    if session is None:
                        session = Session(catalog, limits, self._tables, wanted.db_schema)
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
                    self._channel.send(Rows())
                    self._channel.send_rows(batch)
        except MemoryError as error:
            return Failed("limit", str(error))
        except SystemRefused as error:
            return Failed("system", str(error))
        except InvalidArgument as error:
            return Failed("statement", str(error))
        except EnginePanic as error:
            return Failed("panic", str(error))
        return Ended()

    def _say(self, message: object) -> None:
        with self._sending:
            self._channel.send(message)
