"""Programs that are recorded, others that send for them, and their server are killed, in any order: what was on disk or
stored is there, once and in order.

TEST_EFFORT=50 kills fifty servers, and two hundred pairs of programs.
"""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flightsrv import tracing
from flightsrv.client import connect
from tests.faults.server_process import ServerProcess
from tests.support.ports import free_port
from tests.tracing.test_kept import files_below

pytestmark = pytest.mark.slow

NB_ROUNDS = int(os.environ.get("TEST_EFFORT", "1"))
NB_PAIRS = 4
"""In a round."""
PROGRAM = """
import sys, time
from flightsrv import tracing

settings = tracing.Settings(vitals_every_s=None, send_every_s=0.05, keep_every_s=0.02)
session = tracing.start(sys.argv[1], settings=settings)
print(session.process_id, flush=True)
number = 0
while True:
    with tracing.span(str(number)):
        pass
    number += 1
    statistics = session.statistics()
    print((statistics.sent_events + statistics.spooled_events) // 2, flush=True)
    time.sleep(0.005)
"""


class Program:
    """One that records until it is killed."""

    def __init__(self, url: str, spool: Path, log: Path) -> None:
        environment = {**os.environ, "FLIGHTSRV_SPOOL": str(spool), "PYTHONPATH": os.pathsep.join(sys.path)}
        self._log = log
        with log.open("wb") as output:
            command = [sys.executable, "-c", PROGRAM, url]
            self._process = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL, env=environment)

    def wait_until_it_has_kept(self, nb_spans: int) -> None:
        while self.told[1] < nb_spans:
            assert self._process.poll() is None
            time.sleep(0.01)

    @property
    def told(self) -> tuple[str, int]:
        """Its process id, and how many spans it has said to be stored or on disk; in whole lines."""
        process_id, *counts = self._log.read_text().rpartition("\n")[0].split("\n")
        return process_id, int(counts[-1]) if counts else 0

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def test_what_was_kept_arrives_whatever_is_killed(tmp_path: Path) -> None:
    chance = random.Random(4)
    port, spool, lake = free_port(), tmp_path / "spool", str(tmp_path / "lake")
    url = f"http://127.0.0.1:{port}"
    options = ["--http-port", str(port)]
    server = ServerProcess(lake, None, tmp_path / "log", options)
    killed: list[Program] = []
    try:
        for number in range(NB_ROUNDS):
            programs = [Program(url, spool, tmp_path / f"{number}-{i}.txt") for i in range(2 * NB_PAIRS)]
            killed += programs
            for program in programs:
                program.wait_until_it_has_kept(3)
            victims = [*programs, server]
            chance.shuffle(victims)
            for victim in victims:
                victim.kill()
                time.sleep(chance.choice((0.0, 0.0, 0.01, 0.1)))
            server = ServerProcess(lake, None, tmp_path / "log", options)
        settings = tracing.Settings(send_every_s=0.02, spool=str(spool), stop_timeout_s=60.0)
        with tracing.start(url, settings=settings):
            while files_below(spool):
                tracing.flush(60.0)
        with connect(server.url) as client:
            for program in killed:
                process_id, nb_kept = program.told
                rows = client.query("SELECT name FROM process_spans($1, 'thread') ORDER BY begin", [process_id])
                assert rows["name"].to_pylist() == [str(i) for i in range(rows.num_rows)]
                assert rows.num_rows >= nb_kept > 0
    finally:
        for program in killed:
            program.kill()
        server.stop()
