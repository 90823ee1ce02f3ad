"""The server killed under load, and one of two: what was acknowledged is there."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy

from hotmend.agent.enrol import enrol
from hotmend.agent.errors import LinkError
from hotmend.agent.folder import AgentFolder
from hotmend.agent.link import HttpsLink
from hotmend.demo.control_plane import ControlPlane
from hotmend.demo.server import free_port
from hotmend.model.agent_messages import Assessment, Poll, Report, Run, RunKind, RunStatus
from server.conftest import new_database
from server.machine import FACTS

_KILLS = 10 if os.environ.get("HOTMEND_FULL") else 3
_SENDERS = 4


@pytest.fixture
def plane(
    database_url: str, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[ControlPlane]:
    url = new_database(request.getfixturevalue("cluster")) if database_url else ""
    made = ControlPlane(tmp_path, free_port(), url)
    made.start()
    yield made
    made.stop(signal.SIGKILL)


def test_no_acknowledged_report_is_lost(plane: ControlPlane, tmp_path: Path) -> None:
    acknowledged: set[str] = set()
    links = [_machine(plane, tmp_path / str(number)) for number in range(_SENDERS)]
    end = threading.Event()
    threads = [threading.Thread(target=_send, args=(link, acknowledged, end)) for link in links]
    for thread in threads:
        thread.start()
    try:
        for kill in range(_KILLS):
            wanted = len(acknowledged) + 100
            _until(lambda wanted=wanted: len(acknowledged) >= wanted, 120)
            plane.stop(signal.SIGKILL)
            there = set(_runs(plane))
            assert acknowledged <= there, f"kill {kill}: {len(acknowledged - there)} lost"
            plane.start()
    finally:
        end.set()
        for thread in threads:
            thread.join()
    assert acknowledged <= set(_runs(plane))
    assert len(acknowledged) >= 100 * _KILLS


def test_agents_carry_on_when_one_of_two_is_killed(cluster: str, tmp_path: Path) -> None:
    """Two servers with one data folder on one PostgreSQL, behind a balancer that knows nothing."""
    url = new_database(cluster)
    one, two = (ControlPlane(tmp_path, free_port(), url) for _ in range(2))
    one.start()
    two.start()
    with _balancer([one, two]) as port:
        agents = [_machine(one, tmp_path / str(n), f"https://localhost:{port}") for n in range(6)]
        last = [0.0] * len(agents)
        end = threading.Event()
        threads = [
            threading.Thread(target=_poll, args=(link, last, number, end))
            for number, link in enumerate(agents)
        ]
        for thread in threads:
            thread.start()
        try:
            _until(lambda: all(last), 30)
            one.stop(signal.SIGKILL)
            killed = time.monotonic()
            _until(lambda: all(when > killed for when in last), 30)
            took = max(last) - killed
            print(f"all {len(agents)} carry on after {took:.1f} s")
            assert 0 < took <= 10, took
        finally:
            end.set()
            for thread in threads:
                thread.join()
            one.stop(signal.SIGKILL)
            two.stop(signal.SIGKILL)


def _machine(plane: ControlPlane, folder: Path, server: str = "") -> HttpsLink:
    place = AgentFolder(folder)
    enrol(place, plane.base, plane.code(f"m{uuid.uuid4().hex[:8]}"), plane.authority, None)
    return HttpsLink(server or plane.base, place.authority, place.identity)


def _send(link: HttpsLink, acknowledged: set[str], end: threading.Event) -> None:
    """A report after the other; one that was not answered is sent again, as an agent does."""
    number = 0
    while not end.is_set():
        number += 1
        now = time.time()
        run = Run(
            str(uuid.uuid4()), RunKind.ASSESS, now, RunStatus.SUCCEEDED, now, Assessment(False, ())
        )
        while not end.is_set():
            try:
                if link.report(Report(number, now, FACTS, run)).accepted:
                    acknowledged.add(run.id)
                break
            except LinkError:
                time.sleep(0.05)


def _poll(link: HttpsLink, last: list[float], number: int, end: threading.Event) -> None:
    while not end.is_set():
        try:
            link.orders(Poll(0.2))
            last[number] = time.monotonic()
        except LinkError:
            time.sleep(0.1)


def _runs(plane: ControlPlane) -> list[str]:
    """From the database itself, not from the server."""
    if plane.database:
        engine = sqlalchemy.create_engine(plane.database)
        with engine.connect() as connection:
            found = [row[0] for row in connection.execute(sqlalchemy.text("SELECT id FROM runs"))]
        engine.dispose()
        return found
    with contextlib.closing(sqlite3.connect(plane.data / "hotmend.sqlite")) as connection:
        return [row[0] for row in connection.execute("SELECT id FROM runs")]


@contextlib.contextmanager
def _balancer(planes: list[ControlPlane]) -> Iterator[int]:
    """Bytes to one server after the other, to the next where one is gone."""
    listener = socket.create_server(("127.0.0.1", 0))
    ports = [int(plane.base.rpartition(":")[2]) for plane in planes]
    turn = iter(range(1 << 30))

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            first = next(turn)
            for offset in range(len(ports)):
                with contextlib.suppress(OSError):
                    server = socket.create_connection(
                        ("127.0.0.1", ports[(first + offset) % len(ports)]), timeout=5
                    )
                    server.settimeout(None)
                    for ends in ((client, server), (server, client)):
                        threading.Thread(target=_pump, args=ends, daemon=True).start()
                    break
            else:
                client.close()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _until(condition: object, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.005)
