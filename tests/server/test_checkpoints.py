"""What agents are told of the audit log, when many ask at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from hotmend.model.audit_log import parsed
from hotmend.server.checkpoints import Checkpoints
from hotmend.server.control import Control
from hotmend.server.storage import audit
from server.conftest import finished

SIZE = 5


@pytest.fixture
def log(control: Control) -> Checkpoints:
    """Of a log that has ``SIZE`` entries."""

    def grow(connection: Connection) -> None:
        for number in range(SIZE):
            audit.append(connection, 1000.0, "me", "did", f"thing {number}", {})

    control.database.write(grow)
    return control.log


class Looks:
    """At the log; ``broken``: so many of the first find no database."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, broken: int = 0) -> None:
        self.count, self._broken = 0, broken
        self._real = audit.consistency
        monkeypatch.setattr(audit, "consistency", self)

    def __call__(self, *words: Any) -> list[bytes]:
        self.count += 1
        if self.count <= self._broken:
            raise OperationalError("", {}, Exception("away"))
        return self._real(*words)


async def begun(log: Checkpoints) -> asyncio.Task[None]:
    running = asyncio.create_task(log.run())
    while not (await log.news(0))[0]:
        await asyncio.sleep(0.01)
    return running


def test_a_proof_that_many_ask_for_is_looked_up_once(
    log: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask() -> list[tuple[str, tuple[str, ...]]]:
        running = await begun(log)
        looks = Looks(monkeypatch)
        first = asyncio.create_task(log.news(2))
        others = [asyncio.create_task(log.news(2)) for _ in range(50)]
        await asyncio.sleep(0)
        first.cancel()  # who asked first has hung up
        told = await asyncio.gather(*others)
        assert looks.count == 1
        await log.news(3)
        assert looks.count == 2, "another one is another proof"
        running.cancel()
        return told

    told = finished(ask())
    assert len(set(told)) == 1
    text, proof = told[0]
    assert parsed(text).checkpoint.size == SIZE and proof


def test_what_could_not_be_read_is_looked_up_again(
    log: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask() -> tuple[str, tuple[str, ...]]:
        running = await begun(log)
        Looks(monkeypatch, broken=1)
        with pytest.raises(OperationalError):
            await log.news(2)
        told = await log.news(2)
        running.cancel()
        return told

    assert finished(ask())[1]
