"""A machine's condition, in one word, from what it says of its health. Pure.

The control plane keeps the word beside the machine, so that the health gate can be asked of all
machines in one statement. The gate itself, with its times, is ``health``.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from hotmend.model.agent_messages import Ended, Ending, Health


class Word(StrEnum):
    """*unknown*: a signal that the gate asks for is missing."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"


def condition(before: Health | None, said: Health) -> tuple[Word, str]:
    """The word for what a machine has just ``said``, and what is wrong. A process that crashed
    counts when it is first said: after that it is old news, and may be of an older hotpatch."""
    wrong = "; ".join(_wrong(before, said))
    if wrong:
        return Word.BAD, wrong
    if said.verified is None:
        return Word.UNKNOWN, "its patched memory was not read again yet"
    return Word.GOOD, ""


def _wrong(before: Health | None, said: Health) -> Iterator[str]:
    known = set(map(_key, before.ended)) if before is not None else set()
    for ended in said.ended:
        if ended.ending is Ending.CRASHED and _key(ended) not in known:
            yield f"{ended.command} ({ended.pid}) crashed, signal {ended.number}"
    for drift in said.drifted:
        yield f"the memory of {drift.command} ({drift.pid}) is not as patched: {drift.because}"
    for probe in said.probes:
        if not probe.healthy:
            yield f"probe {probe.name}: {probe.because or 'not healthy'}"


def _key(ended: Ended) -> tuple[int, float]:
    return ended.pid, ended.time
