"""The old nginx under wrk with keep-alive, patched and undone again and again."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hotmend.demo.command import Hotmend
from hotmend.demo.server import CRAFTED, SECRET, Server
from hotmend.demo.traffic import Connection, Traffic

CYCLES = 100
FULL = bool(os.environ.get("HOTMEND_FULL"))
SECONDS = 240.0 if FULL else 45.0
FEWEST = CYCLES if FULL else 15  # a busy machine may not manage a hundred in the short time
Patch = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def server(unpacked: Callable[[str], Path]) -> Iterator[Server]:
    # Not tmp_path: every run of pytest closes that to the unprivileged workers again.
    with tempfile.TemporaryDirectory(prefix="hotmend-test-") as folder:
        Path(folder).chmod(0o755)
        running = Server(unpacked("nginx") / "usr/sbin/nginx", Path(folder))
        try:
            yield running
        finally:
            running.stop()


def statuses(server: Server) -> dict[int, int]:
    """Worker -> status of the crafted request."""
    found: dict[int, int] = {}
    for _ in range(200):
        connection = Connection(server.port)
        status, body, pid = connection.get(CRAFTED)
        connection.close()
        found[pid] = status
        assert (body == SECRET) == (status == 200)
    return found


def mappings(pid: int) -> int:
    return len(Path(f"/proc/{pid}/maps").read_text().splitlines())


def test_a_hundred_applies_and_reverts_under_load_harm_nobody(
    server: Server, built: Callable[[str], Path], patch: Patch
) -> None:
    if shutil.which("wrk") is None:
        pytest.skip("wrk is not installed (apt-get install wrk)")
    file = built("nginx")
    before = server.processes()
    pids = [process.pid for process in before]
    wrk = subprocess.Popen(
        ["nice", "wrk", "-t1", "-c16", "-d20m", "--timeout", "30s", server.url],
        stdout=subprocess.PIPE,
        text=True,
    )
    pauses: list[float] = []
    after_first: list[int] = []
    cycles = 0
    try:
        with Traffic(server.port, held=2) as traffic:
            deadline = time.monotonic() + SECONDS
            while cycles < FEWEST or (cycles < CYCLES and time.monotonic() < deadline):
                outcomes = patch("apply", file, pids, "applied")
                outcomes += patch("revert", file, pids, "reverted")
                pauses += [outcome["pause_ms"] for outcome in outcomes]
                cycles += 1
                if cycles == 1:
                    after_first = [mappings(pid) for pid in pids]
            count = traffic.count()
        assert wrk.poll() is None, "wrk ended before the cycles did"
    finally:
        wrk.send_signal(signal.SIGINT)
        said = wrk.communicate(timeout=30)[0]
    print(
        f"{cycles} cycles, pause median {sorted(pauses)[len(pauses) // 2]:.2f} ms, "
        f"longest {max(pauses):.2f} ms, {count.answered} requests of our own; wrk: {said}"
    )
    assert count.failed == 0, f"{count.why} {(server.folder / 'errors').read_text()[-2000:]}"
    assert count.open == count.held
    requests = re.search(r"(\d+) requests in", said)
    assert requests is not None
    assert int(requests[1]) > 1000
    assert "Socket errors" not in said
    assert "Non-2xx" not in said
    assert server.processes() == before
    assert [mappings(pid) for pid in pids] == after_first


def test_every_worker_is_flawed_before_fixed_after_and_flawed_when_undone(
    server: Server, built: Callable[[str], Path], patch: Patch, machine: Hotmend
) -> None:
    file = built("nginx")
    pids = [process.pid for process in server.processes()]
    workers = pids[1:]
    assert statuses(server) == dict.fromkeys(workers, 200)
    patch("apply", file, pids, "applied")
    assert statuses(server) == dict.fromkeys(workers, 404)
    patch("apply", file, pids, "already")
    assert not any(r["differences"] for r in machine.run("verify").data["processes"])
    patch("revert", file, pids, "reverted")
    assert statuses(server) == dict.fromkeys(workers, 200)


def test_a_worker_that_a_patched_master_forks_is_patched_from_birth(
    server: Server, built: Callable[[str], Path], patch: Patch
) -> None:
    file = built("nginx")
    master, *workers = [process.pid for process in server.processes()]
    patch("apply", file, [master], "applied")
    assert set(statuses(server).values()) == {200}, "the workers themselves are not patched yet"
    os.kill(master, signal.SIGHUP)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        now = {process.pid for process in server.processes()} - {master}
        if len(now) == len(workers) and not now & set(workers):
            break
        time.sleep(0.1)
    seen = statuses(server)
    assert not set(seen) & set(workers)
    assert set(seen.values()) == {404}
