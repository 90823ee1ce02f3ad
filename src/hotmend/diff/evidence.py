"""Which old address a new data address is: votes, weighed.

A vote says "in this pair of functions, the reference to NEW stands where the one to OLD stood".
It is *strong* when the two functions have the same masked bytes, *weak* when the reference was
aligned inside a function that changed. Symbols and relocation slots settle an address alone.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Votes:
    """For one pair (new, old): the functions (new unit numbers) that vote for it."""

    strong: set[int] = field(default_factory=set)
    weak: set[int] = field(default_factory=set)
    settled: bool = False

    @property
    def weight(self) -> tuple[bool, int, int]:
        return self.settled, len(self.strong), len(self.weak)


class DataMap:
    """New data address -> old data address, one to one."""

    def __init__(self) -> None:
        self._votes: dict[int, dict[int, Votes]] = defaultdict(lambda: defaultdict(Votes))
        self._to_old: dict[int, int] | None = None
        self._order: list[int] = []

    def vote(self, new: int, old: int, voter: int, *, strong: bool) -> None:
        votes = self._votes[new][old]
        (votes.strong if strong else votes.weak).add(voter)
        self._to_old = None

    def settle(self, new: int, old: int) -> None:
        """A symbol or a relocation slot says so."""
        self._votes[new][old].settled = True
        self._to_old = None

    def old(self, new: int) -> int | None:
        """The old address with the most weight, None where nothing was voted for."""
        return self._chosen().get(new)

    def pairs(self) -> dict[int, int]:
        return dict(self._chosen())

    def votes(self, new: int) -> dict[int, Votes]:
        return dict(self._votes.get(new, {}))

    def proved(self, new: int, other_than: int | None = None) -> int | None:
        """The old address when independent evidence stands behind it and none against it: a
        symbol or relocation, or a function with the same bytes, or two functions whose
        references aligned, or equal distance to proved neighbours on both sides; ``other_than``
        (a new unit) cannot be its own witness."""
        votes = self._votes.get(new, {})
        old = self.old(new)
        if old is None:
            return self._between(new)
        chosen = votes[old]
        against = [v for candidate, v in votes.items() if candidate != old]
        if chosen.settled:
            return old
        if any(v.settled or len(v.strong) >= max(1, len(chosen.strong)) for v in against):
            return None
        if chosen.strong - {other_than} or len(chosen.weak - {other_than}) >= 2:
            return old
        return old if self._between(new) == old else None

    def _between(self, new: int) -> int | None:
        """``new`` moved as its nearest strongly mapped neighbours did, if both moved alike."""
        order = self._strong_order()
        at = bisect_left(order, new)
        below = order[at - 1] if at > 0 else None
        above = next((a for a in order[at : at + 2] if a != new), None)
        if below is None or above is None or above - below > 1 << 16:
            return None
        shift = self._chosen()[below] - below
        if self._chosen()[above] - above != shift:
            return None
        return new + shift

    def _strong_order(self) -> list[int]:
        self._chosen()
        return self._order

    def _chosen(self) -> dict[int, int]:
        if self._to_old is None:
            self._to_old = dict(self._choose())
            self._order = sorted(
                new
                for new, old in self._to_old.items()
                if self._votes[new][old].settled or self._votes[new][old].strong
            )
        return self._to_old

    def _choose(self) -> Iterator[tuple[int, int]]:
        """Heaviest first; each new and each old address is used once."""
        candidates = sorted(
            (
                (votes.weight, new, old)
                for new, by_old in self._votes.items()
                for old, votes in by_old.items()
            ),
            key=lambda c: (c[0], -c[1], -c[2]),
            reverse=True,
        )
        used_new: set[int] = set()
        used_old: set[int] = set()
        for _, new, old in candidates:
            if new not in used_new and old not in used_old:
                used_new.add(new)
                used_old.add(old)
                yield new, old
