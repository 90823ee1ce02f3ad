"""How long to wait before asking again one that did not answer. Pure.

Every machine of a fleet loses its control plane at the same moment; they must not come back at the
same moment. Full jitter: anything from nothing to a bound that doubles.
"""

from __future__ import annotations

from collections.abc import Callable

FIRST_S = 1.0
LONGEST_S = 60.0


class BackOff:
    """``chance``: a number from 0 to 1, another at each call."""

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._bound_s = FIRST_S

    def answered(self) -> None:
        """It is there again."""
        self._bound_s = FIRST_S

    def wait_s(self) -> float:
        """It did not answer; seconds until the next try."""
        wait = self._chance() * self._bound_s
        self._bound_s = min(self._bound_s * 2, LONGEST_S)
        return wait
