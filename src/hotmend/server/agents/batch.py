"""What agents ask, many at a time: what comes while the last of it is being done is done together,
and each is answered when its transaction is committed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

from sqlalchemy import Connection

from hotmend.server.control import Control

_MOST_TOGETHER = 500

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class Batch(Generic[Asked, Answer]):
    """For one event loop. ``work``: its answers to all that it is given, in their order; the number
    is the time."""

    def __init__(
        self,
        control: Control,
        work: Callable[[Connection, Sequence[Asked], float], Sequence[Answer]],
    ) -> None:
        self._control = control
        self._work = work
        self._waiting: list[tuple[Asked, asyncio.Future[Answer]]] = []
        self._busy = False

    async def add(self, asked: Asked) -> Answer:
        """What became of it. Raises what the database raises."""
        done: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, done))
        if not self._busy:
            self._busy = True
            self._task = asyncio.create_task(self._run())
        return await done

    async def _run(self) -> None:
        while self._waiting:
            some, self._waiting = (
                self._waiting[:_MOST_TOGETHER],
                self._waiting[_MOST_TOGETHER:],
            )
            together, now = [asked for asked, _ in some], self._control.clock()
            work = self._control.database.submit(partial(self._done, together=together, now=now))
            try:
                answers = await asyncio.wrap_future(work)
            except Exception as error:
                for _, done in some:
                    if not done.done():
                        done.set_exception(error)
                continue
            for (_, done), answer in zip(some, answers, strict=True):
                if not done.done():  # the machine may have hung up
                    done.set_result(answer)
        self._busy = False

    def _done(
        self, connection: Connection, together: Sequence[Asked], now: float
    ) -> Sequence[Answer]:
        return self._work(connection, together, now)
