"""Probes against real servers and programs, well and ill."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotmend.agent.probe import CommandProbe, HttpProbe, Probe, TcpProbe, ask
from hotmend.model.agent_messages import ProbeResult


class Handler(http.server.BaseHTTPRequestHandler):
    """/ok, /moved (to /ok), /trickle (for ever), /huge, anything else is 500."""

    def do_GET(self) -> None:
        self.send_response({"/moved": 302}.get(self.path, 500 if self.path == "/no" else 200))
        if self.path == "/moved":
            self.send_header("Location", "/ok")
        self.end_headers()
        try:
            if self.path == "/trickle":
                for _ in range(100):
                    self.wfile.write(b"x")
                    time.sleep(0.05)
            elif self.path == "/huge":
                for _ in range(1 << 14):
                    self.wfile.write(b"x" * 4096)
        except OSError:
            return

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def asked(asks: HttpProbe | TcpProbe | CommandProbe, timeout_s: float = 2.0) -> ProbeResult:
    began = time.monotonic()
    result = ask(Probe("it", asks, timeout_s=timeout_s), lambda: 7.0)
    assert time.monotonic() - began < timeout_s + 1.0, "its time is bounded"
    assert (result.name, result.time) == ("it", 7.0) and result.took_s >= 0
    assert bool(result.because) is not result.healthy
    return result


def test_http(port: int) -> None:
    base = f"http://127.0.0.1:{port}"
    assert asked(HttpProbe(f"{base}/ok")).healthy
    assert asked(HttpProbe(f"{base}/huge")).healthy, "more than is read is not needed"
    assert asked(HttpProbe(f"{base}/moved", 302)).healthy
    assert asked(HttpProbe(f"{base}/moved")).because.endswith("answered 302, not 200")
    assert asked(HttpProbe(f"{base}/no")).because.endswith("answered 500, not 200")
    slow = asked(HttpProbe(f"{base}/trickle"), 1.5)
    assert slow.because.endswith("did not end its answer within 1.5 s")


def test_tcp_and_where_nobody_listens(port: int) -> None:
    assert asked(TcpProbe("127.0.0.1", port)).healthy
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = closed.getsockname()[1]
        assert "refused" in asked(TcpProbe("127.0.0.1", nobody)).because
        assert "refused" in asked(HttpProbe(f"http://127.0.0.1:{nobody}/")).because


def test_command(tmp_path: Path) -> None:
    assert asked(CommandProbe(("/bin/true",))).healthy
    said = asked(CommandProbe(("/bin/sh", "-c", "echo first; echo the queue is full; exit 3")))
    assert said.because == "/bin/sh ended with 3: the queue is full"
    assert "No such file" in asked(CommandProbe(("/nowhere/x",))).because
    assert asked(CommandProbe(("/bin/sh", "-c", "head -c 9000000 /dev/zero"))).healthy


def test_a_command_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    script = f"sleep 60 & echo $! > {mark}; wait"
    result = asked(CommandProbe(("/bin/sh", "-c", script)), 2.0)
    assert result.because == "/bin/sh did not end within 2 s"
    state = Path(f"/proc/{mark.read_text().strip()}/stat")
    deadline = time.monotonic() + 2
    while state.exists() and " Z " not in state.read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not state.exists() or " Z " in state.read_text()


def test_a_command_that_talks_for_ever_is_ended() -> None:
    assert not asked(CommandProbe(("/bin/sh", "-c", "yes")), 0.4).healthy
