"""The network between machines and the control plane: it loses, doubles, delays, and so reorders
messages, and cuts regions off, in one direction or both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hotmend.simulation.virtual.events import Events
from hotmend.simulation.virtual.scenario import DAY_S, Faults, Scenario

_QUICK_S = 0.05
UP, DOWN = "up", "down"


class Network:
    """``perfect()`` ends all faults."""

    def __init__(self, scenario: Scenario, events: Events) -> None:
        self._events = events
        self._faults = scenario.faults
        self._chance = scenario.chance("network")
        self._cut: dict[tuple[str, str], float] = {}  # (region, direction) → until when

    def begin(self, regions: list[str]) -> None:
        """Partitions come from now on."""
        if self._faults.partitions:
            for region in regions:
                self._events.after(self._until_next(), self._part, region)

    def perfect(self) -> None:
        """From now on."""
        self._faults, self._cut = Faults(), {}

    def carry(self, region: str, direction: str, deliver: Callable[..., None], *what: Any) -> None:
        """A message from (up) or to (down) a machine there: ``deliver`` once, twice or never."""
        if not self.reaches(region, direction) or self._chance.random() < self._faults.lost:
            return
        self._events.after(self._delay(), deliver, *what)
        if self._chance.random() < self._faults.doubled:
            self._events.after(self._delay(), deliver, *what)

    def reaches(self, region: str, direction: str) -> bool:
        """Whether messages in this direction may arrive at all."""
        return self._cut.get((region, direction), 0.0) <= self._events.now

    def cut(self, direction: str) -> list[str]:
        """Regions out of, or into, which nothing gets."""
        return [
            region
            for region, way in self._cut
            if way == direction and not self.reaches(region, way)
        ]

    def _delay(self) -> float:
        return _QUICK_S + self._chance.random() ** 4 * self._faults.delay_s

    def _until_next(self) -> float:
        return self._chance.expovariate(self._faults.partitions / DAY_S)

    def _part(self, region: str) -> None:
        if not self._faults.partitions:
            return
        until = self._events.now + self._chance.uniform(60, self._faults.partition_s)
        for direction in self._chance.choice(((UP,), (DOWN,), (UP, DOWN))):
            self._cut[region, direction] = until
        self._events.after(self._until_next(), self._part, region)
