"""How long to wait for an answer, and before asking again one that did not answer. Pure.

Every machine of a fleet loses its control plane at the same moment; they must not come back at the
same moment. Full jitter: anything from nothing to a bound that doubles. Those that came together
all the same do not stay together: no two polls last equally long.
"""

from __future__ import annotations

from collections.abc import Callable

FIRST_S = 1.0
LONGEST_S = 60.0
LONGEST_POLL_S = 50.0


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

    def poll_s(self) -> float:
        """It is there; seconds that it may keep the next question until there is an order."""
        return (1 + self._chance()) / 2 * LONGEST_POLL_S
