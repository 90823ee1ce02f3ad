"""Real traffic while the server is patched: held keep-alive connections, and ever new ones."""

from __future__ import annotations

import http.client
import threading
import time
from dataclasses import dataclass

from hotmend.demo.server import PUBLIC

_TIMEOUT_S = 10.0
_BREATH_S = 0.002
_BETWEEN_NEW_S = 0.02  # each leaves a port in TIME_WAIT for a minute; there are some 28,000


class Connection:
    """One keep-alive connection that never reconnects behind our back."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
        self._connection.connect()
        self._connection.auto_open = 0
        self.local_port: int = self._connection.sock.getsockname()[1]

    def get(self, path: str) -> tuple[int, bytes, int]:
        """(status, body, worker's pid). Raises OSError or HTTPException where none came."""
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        return answer.status, answer.read(), int(answer.headers["X-Worker"])

    def close(self) -> None:
        self._connection.close()


@dataclass(frozen=True)
class Count:
    """``longest_ms``: the longest that a visitor waited for an answer. ``open``: held
    connections that were never broken; ``held``: all of them. ``why``: what went wrong first for
    each visitor for whom something did."""

    answered: int
    failed: int
    longest_ms: float
    open: int
    held: int
    why: tuple[str, ...]


class Traffic:
    """Visitors of one server, from entering the ``with`` until leaving it."""

    def __init__(self, port: int, held: int = 6) -> None:
        self._port = port
        self._held = [Connection(port) for _ in range(held)]
        self._tallies = [_Tally() for _ in range(held + 1)]
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._keep_asking, args=(connection, tally), daemon=True)
            for connection, tally in zip(self._held, self._tallies[:-1], strict=True)
        ]
        self._threads.append(threading.Thread(target=self._come_and_go, daemon=True))

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(_TIMEOUT_S)
        for connection in self._held:
            connection.close()

    def count(self) -> Count:
        held = self._tallies[:-1]
        return Count(
            answered=sum(tally.answered for tally in self._tallies),
            failed=sum(tally.failed for tally in self._tallies),
            longest_ms=max(tally.longest_ms for tally in self._tallies),
            open=sum(not tally.failed for tally in held),
            held=len(held),
            why=tuple(tally.why for tally in self._tallies if tally.why),
        )

    def _keep_asking(self, connection: Connection, tally: _Tally) -> None:
        while not self._stop.wait(_BREATH_S):
            if not tally.ask(connection):
                return

    def _come_and_go(self) -> None:
        tally = self._tallies[-1]
        while not self._stop.wait(_BETWEEN_NEW_S):
            try:
                connection = Connection(self._port)
            except OSError as error:
                tally.fail(f"no connection: {error}")
                continue
            tally.ask(connection)
            connection.close()


@dataclass
class _Tally:
    """Written by one thread only."""

    answered: int = 0
    failed: int = 0
    longest_ms: float = 0.0
    why: str = ""

    def fail(self, why: str) -> None:
        self.failed += 1
        self.why = self.why or why

    def ask(self, connection: Connection) -> bool:
        began = time.monotonic()
        try:
            status, body, worker = connection.get(PUBLIC)
        except (OSError, http.client.HTTPException) as error:
            self.fail(f"no answer: {type(error).__name__} {error}")
            return False
        self.longest_ms = max(self.longest_ms, (time.monotonic() - began) * 1000)
        if (status, body) != (200, b"hello\n"):
            self.fail(f"worker {worker} answered {status} with {len(body)} bytes")
            return False
        self.answered += 1
        return True
