"""The flaw that the demonstration is about, and asking every worker of the server for it."""

from __future__ import annotations

import http.client

from hotmend.demo.errors import DemoError
from hotmend.demo.screen import Screen
from hotmend.demo.server import CRAFTED, SECRET, Server, ServerProcess
from hotmend.demo.traffic import Connection

ADVISORY = "CVE-2026-15176"
_ASKED_AT_MOST = 400


def look(screen: Screen, server: Server, processes: list[ServerProcess], *, flawed: bool) -> None:
    """Ask every worker among ``processes`` for the file that is not public, and show what it
    answers. Raises DemoError where one answers otherwise than it should."""
    workers = {process.pid for process in processes if process.role == "worker"}
    answers: dict[int, tuple[int, bytes]] = {}
    for _ in range(_ASKED_AT_MOST):
        try:
            connection = Connection(server.port)
            status, body, pid = connection.get(CRAFTED)
            connection.close()
        except (OSError, http.client.HTTPException) as error:
            raise DemoError(f"the server does not answer: {error}") from None
        answers[pid] = status, body
        if set(answers) >= workers:
            break
    wanted = (200, SECRET) if flawed else 404
    for pid, (status, body) in sorted(answers.items()):
        seen = (status, body) if flawed else status
        if seen != wanted:
            raise DemoError(f"worker {pid} answered {status} where it should not")
        if flawed:
            text = SECRET.decode().splitlines()[0]
            screen.bad(f"GET {CRAFTED} → {status} {text}  (worker {pid})")
        else:
            screen.good(f"GET {CRAFTED} → {status}  (worker {pid})")
    if set(answers) != workers:
        raise DemoError(f"workers {sorted(workers)} should answer, {sorted(answers)} did")
