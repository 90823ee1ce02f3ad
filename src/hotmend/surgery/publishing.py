"""Publishing with patience: a busy process is asked again, never frozen for long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, repeat

from hotmend.surgery.process import Attempt, Ending, Process, Publication

_BACK_OFF_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)


class Consistency(StrEnum):
    """What holds while code is switched. ``strict``: every thread is stopped, and none is in, or
    returns into, a replaced function. ``entry``: every thread is stopped, and none is in the
    bytes that change. ``no-stop``: all but one thread, which is borrowed, run on."""

    STRICT = "strict"
    ENTRY = "entry"
    NO_STOP = "no-stop"


@dataclass(frozen=True)
class Terms:
    """How to treat a process. ``budget_ms``: for one stop; ``patience_s``: for all attempts
    together."""

    consistency: Consistency = Consistency.STRICT
    budget_ms: float = 50.0
    patience_s: float = 5.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic


def publish(process: Process, publication: Publication, terms: Terms) -> Attempt:
    """Try, back off, try again, until it is published or patience ends; the last attempt."""
    deadline = terms.clock() + terms.patience_s
    attempt = process.publish(publication)
    for pause in _pauses():
        if attempt.ending is not Ending.BLOCKED or terms.clock() + pause > deadline:
            break
        terms.sleep(pause)
        attempt = process.publish(publication)
    return attempt


def _pauses() -> Iterator[float]:
    return chain(_BACK_OFF_S, repeat(_BACK_OFF_S[-1]))
