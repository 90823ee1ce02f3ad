"""How much of an order's time is left, and what may still be begun in it. Pure.

The numbers are Azure Update Manager's: nothing is begun with less than 25 minutes left, of which 10
are kept for a restart.
"""

from __future__ import annotations

from dataclasses import dataclass

FOR_PACKAGE_S = 15 * 60.0
FOR_RESTART_S = 10 * 60.0
RESERVED_S = FOR_PACKAGE_S + FOR_RESTART_S
# A hotpatch needs no restart and no more than moments.
FOR_HOTPATCH_S = 60.0


@dataclass(frozen=True)
class MaintenanceWindow:
    """``began``: when the machine began with the order; ``lasts``: seconds."""

    began: float
    lasts: float

    def left(self, now: float) -> float:
        return self.began + self.lasts - now

    def may_begin(self, now: float, *, hotpatch: bool) -> bool:
        """Whether another patch may be begun. An order that is shorter than the reserve was
        given so on purpose: then half of it is kept."""
        reserve = FOR_HOTPATCH_S if hotpatch else RESERVED_S
        return self.left(now) >= min(reserve, self.lasts / 2)

    def may_restart(self, now: float) -> bool:
        return self.left(now) >= min(FOR_RESTART_S, self.lasts / 2)
