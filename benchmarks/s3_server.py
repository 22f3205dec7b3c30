"""A simulator of S3 (moto) that keeps everything in memory: `python -m benchmarks.s3_server`.

It runs apart from what is measured, but on the same machine, and computes a few milliseconds for a request.
"""

import signal
import threading

from moto.server import ThreadedMotoServer


def main() -> None:
    """Serve on a free port of localhost until told to stop."""
    told_to_stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told_to_stop.set())
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    print(f"listening on http://{host}:{port}", flush=True)
    told_to_stop.wait()
    server.stop()


if __name__ == "__main__":
    main()
