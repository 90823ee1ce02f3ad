"""The queue of events: virtual time goes from one to the next."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any


class Events:
    """``now``: seconds since the epoch. What is due at the same time happens in the order in which
    it was asked for."""

    def __init__(self, now: float) -> None:
        self.now = now
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0

    def at(self, time: float, what: Callable[..., None], *words: Any) -> None:
        """Have ``what`` done then; not before now."""
        self._count += 1
        heapq.heappush(self._queue, (max(time, self.now), self._count, what, words))

    def after(self, seconds: float, what: Callable[..., None], *words: Any) -> None:
        """Have ``what`` done so many seconds from now."""
        self.at(self.now + seconds, what, *words)

    def run(self, until: Callable[[], bool]) -> int:
        """One after the other, until that is so or there are none; how many."""
        done = 0
        while self._queue and not until():
            self.now, _, what, words = heapq.heappop(self._queue)
            what(*words)
            done += 1
        return done
