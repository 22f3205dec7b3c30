"""A program of the fleet: `python -m tests.fleet.program SERVER_URL NAME`.

Its threads handle requests, which mostly wait, until it is told to stop. Then it prints a line of JSON: its process id,
how many spans it has recorded, and how many of these it could not send.
"""

import json
import random
import signal
import sys
import threading
import time

from flightsrv import tracing

NB_THREADS = 3


@tracing.traced
def handle_request(chance: random.Random) -> int:
    """Returns how many spans that was."""
    with tracing.span("parse"):
        time.sleep(chance.expovariate(1 / 0.002))
    nb_queries = chance.randint(1, 4)
    for _ in range(nb_queries):
        with tracing.span("query"):
            time.sleep(chance.expovariate(1 / 0.02))
    with tracing.span("render"):
        sum(range(chance.randint(1_000, 20_000)))
    return 3 + nb_queries


def main(url: str, name: str) -> None:
    told_to_stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told_to_stop.set())
    nb_spans = [0] * NB_THREADS

    def work(number: int) -> None:
        chance = random.Random(f"{name} {number}")
        while not told_to_stop.is_set():
            nb_spans[number] += handle_request(chance)

    session = tracing.start(url, properties={"fleet-name": name})
    threads = [threading.Thread(target=work, args=(number,), name=f"worker {number}") for number in range(NB_THREADS)]
    for thread in threads:
        thread.start()
    told_to_stop.wait()
    for thread in threads:
        thread.join()
    session.stop(timeout_s=60.0)
    statistics = session.statistics()
    unsent = statistics.dropped_spans + (statistics.pending_events + statistics.refused_events) // 2
    print(json.dumps({"process_id": session.process_id, "spans": sum(nb_spans), "unsent": unsent}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
