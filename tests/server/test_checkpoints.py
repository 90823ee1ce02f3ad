"""What agents are told of the audit log, when many ask at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from hotmend.model.audit_log import parsed
from hotmend.server.checkpoints import Checkpoints
from hotmend.server.control import Control, prepared
from hotmend.server.folder import DataFolder
from hotmend.server.storage import audit
from server.conftest import Clock, finished

SIZE = 5


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    folder = DataFolder.opened(tmp_path / "data", ["localhost"])
    made = prepared(folder, "https://localhost:1", "", Clock())

    def grow(connection: Connection) -> None:
        for number in range(SIZE):
            audit.append(connection, 1000.0, "me", "did", f"thing {number}", {})

    made.database.write(grow)
    yield made
    made.database.close()


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
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask() -> list[tuple[str, tuple[str, ...]]]:
        running = await begun(control.log)
        looks = Looks(monkeypatch)
        first = asyncio.create_task(control.log.news(2))
        others = [asyncio.create_task(control.log.news(2)) for _ in range(50)]
        await asyncio.sleep(0)
        first.cancel()  # who asked first has hung up
        told = await asyncio.gather(*others)
        assert looks.count == 1
        await control.log.news(3)
        assert looks.count == 2, "another one is another proof"
        running.cancel()
        return told

    told = finished(ask())
    assert len(set(told)) == 1
    text, proof = told[0]
    assert parsed(text).checkpoint.size == SIZE and proof


def test_what_could_not_be_read_is_looked_up_again(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask() -> tuple[str, tuple[str, ...]]:
        running = await begun(control.log)
        Looks(monkeypatch, broken=1)
        with pytest.raises(OperationalError):
            await control.log.news(2)
        told = await control.log.news(2)
        running.cancel()
        return told

    assert finished(ask())[1]
