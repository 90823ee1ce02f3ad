"""What became of one process: every attempt ends in exactly one of these."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hotmend.model.refusal import Refusal


class OutcomeKind(StrEnum):
    """The closed list of endings; *outdated*: looked at, and it runs the old code."""

    APPLIED = "applied"
    REVERTED = "reverted"
    ALREADY = "already"
    OUTDATED = "outdated"
    NOT_MAPPED = "not-mapped"
    REFUSED = "refused"
    BLOCKED = "blocked"
    GONE = "gone"


@dataclass(frozen=True)
class BlockedBy:
    """The thread that stood in the way: its tid, the replaced function it is in (or returns
    into), and its stack, innermost frame first, as far as it could be unwound."""

    tid: int
    function: str
    stack: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """``pause_ms``: first stop to last detach of the attempt that decided, in milliseconds;
    None when the process was never stopped."""

    pid: int
    command: str
    kind: OutcomeKind
    pause_ms: float | None = None
    refusal: Refusal | None = None
    blocked: BlockedBy | None = None
