"""A borrowed thread's work, and how it ended: the words that both implementations share."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

A_FUNCTION = (1 << 64) - 1
"""In place of a system call's number: call the function at ``site``."""

Arguments = tuple[int, int, int, int, int, int]
Who = tuple[int, int]
"""A process: pid, and start time as of ``Identity``."""
Lend = Callable[[Who, bytes, bool, int, int, int, bytes, int, Arguments], tuple[int, int, int]]
"""``pyborrow.call``, or one like it."""


class Loan(IntEnum):
    """How borrowing ended."""

    CALLED = 0
    NO_THREAD = 1
    ENDED = 2
    REFUSED_TRACE = 3
    REFUSED_SECCOMP = 4
