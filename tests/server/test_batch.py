"""What agents ask is done together, and each is answered for itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlalchemy import Connection

from hotmend.server.agents.batch import Batch
from hotmend.server.control import Control
from server.conftest import finished


class Work:
    """Doubles what it is given; zeros break it."""

    def __init__(self) -> None:
        self.seen: list[Sequence[int]] = []

    def __call__(self, _: Connection, asked: Sequence[int], now: float) -> list[int]:
        self.seen.append(list(asked))
        if 0 in asked:
            raise ValueError("zero")
        return [2 * one for one in asked]


def test_what_comes_while_the_first_is_being_done_is_done_together(control: Control) -> None:
    work = Work()

    async def ask() -> list[int]:
        batch = Batch(control, work)
        return await asyncio.gather(*(batch.add(number) for number in range(1, 8)))

    assert finished(ask()) == [2, 4, 6, 8, 10, 12, 14]
    assert [one for some in work.seen for one in some] == [1, 2, 3, 4, 5, 6, 7]
    assert len(work.seen) <= 2


def test_what_breaks_is_said_to_all_of_it_and_the_next_are_answered(control: Control) -> None:
    async def ask() -> list[object]:
        batch = Batch(control, Work())
        together = (batch.add(number) for number in (3, 0))
        broken = await asyncio.gather(*together, return_exceptions=True)
        return [*map(str, broken), await batch.add(4)]

    assert finished(ask()) == ["zero", "zero", 8]


def test_who_hangs_up_takes_nothing_from_the_others(control: Control) -> None:
    async def ask() -> int:
        batch = Batch(control, Work())
        gone = asyncio.create_task(batch.add(1))
        other = asyncio.create_task(batch.add(2))
        await asyncio.sleep(0)
        gone.cancel()
        return await other

    assert finished(ask()) == 4
