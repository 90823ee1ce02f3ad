"""Agents that wait for an order: one look at the database for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

_LOOK_EVERY_S = 0.5


class Waiting:
    """Long polls that are held. ``look``: which of these machines have an order; it is asked twice
    a second while anybody waits, so that orders which another replica took are found, too."""

    def __init__(self, look: Callable[[list[str]], set[str]]) -> None:
        self._look = look
        self._held: dict[str, set[asyncio.Event]] = {}
        self._nudge = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def notify(self) -> None:
        """There is a new order: look at once. From any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._nudge.set)

    async def wait(self, machine: str, seconds: float) -> bool:
        """Until there is an order for ``machine``, which is True, or the time is up."""
        event = asyncio.Event()
        self._held.setdefault(machine, set()).add(event)
        try:
            return await asyncio.wait_for(event.wait(), seconds)
        except TimeoutError:
            return False
        finally:
            held = self._held[machine]
            held.discard(event)
            if not held:
                del self._held[machine]

    async def run(self) -> None:
        """For as long as the server runs."""
        self._loop = asyncio.get_running_loop()
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._nudge.wait(), _LOOK_EVERY_S)
            self._nudge.clear()
            held = list(self._held)
            if not held:
                continue
            with suppress(Exception):  # a database that is away is asked again
                for machine in await asyncio.to_thread(self._look, held):
                    for event in self._held.get(machine, ()):
                        event.set()
