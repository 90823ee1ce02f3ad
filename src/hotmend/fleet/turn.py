"""A turn: one machine's place in one rollout, and where it may go from there. Pure."""

from __future__ import annotations

from enum import StrEnum


class TurnState(StrEnum):
    """*started*: an order was given; *soaking*: installed, and proving itself."""

    WAITING = "waiting"
    STARTED = "started"
    SOAKING = "soaking"
    HEALTHY = "healthy"
    FAILED = "failed"
    EXCLUDED = "excluded"

    @property
    def in_flight(self) -> bool:
        """The machine may be away at this moment because of the rollout."""
        return self in (TurnState.STARTED, TurnState.SOAKING)

    @property
    def holding(self) -> bool:
        """It uses up its group's budget: nobody knows that a failed machine is back."""
        return self.in_flight or self is TurnState.FAILED

    def may_become(self, other: TurnState) -> bool:
        return other in _NEXT[self]


# A healthy machine may still fail while its phase is watched, an excluded one be taken back, and a
# failed one be tried again or let go by a person. Nothing leads from healthy to another start.
_NEXT = {
    TurnState.WAITING: {TurnState.STARTED, TurnState.EXCLUDED},
    TurnState.STARTED: {TurnState.SOAKING, TurnState.FAILED},
    TurnState.SOAKING: {TurnState.HEALTHY, TurnState.FAILED},
    TurnState.HEALTHY: {TurnState.FAILED},
    TurnState.FAILED: {TurnState.WAITING, TurnState.EXCLUDED},
    TurnState.EXCLUDED: {TurnState.WAITING},
}


class Failure(StrEnum):
    """*installation*: its run failed; *lost*: nothing was heard of its order; *unhealthy*: it was
    installed, and the machine did not prove itself."""

    INSTALLATION = "installation"
    LOST = "lost"
    UNHEALTHY = "unhealthy"


def tried_again(failure: Failure, attempts: int, most: int) -> bool:
    """Whether a failed turn waits again from the machine's next window on, after ``attempts``
    attempts of at most ``most``. What an installation left unhealthy is for a person; an order
    that got lost may be sent again, since agents know it by its id."""
    return failure is not Failure.UNHEALTHY and attempts < most
