"""Patience: a busy process is asked again, for as long as agreed and no longer."""

from __future__ import annotations

from hotmend.surgery.fake import FakeProcess, FakeThread
from hotmend.surgery.process import Ending, Publication, Range
from hotmend.surgery.publishing import Terms, publish

BUSY = FakeThread(7, 0x1008)
PUBLICATION = Publication((), (Range(0x1000, 0x1100, "busy"),))


class Clock:
    """Time passes only in sleep."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def _publish(process: FakeProcess, clock: Clock, patience_s: float) -> Ending:
    terms = Terms(patience_s=patience_s, sleep=clock.sleep, clock=lambda: clock.now)
    return publish(process, PUBLICATION, terms).ending


def test_a_free_process_is_asked_once() -> None:
    clock = Clock()
    assert _publish(FakeProcess(), clock, 5) is Ending.PUBLISHED
    assert clock.slept == []


def test_a_busy_process_is_asked_again_at_growing_distances_until_patience_ends() -> None:
    clock = Clock()
    assert _publish(FakeProcess(threads=[BUSY]), clock, 5) is Ending.BLOCKED
    assert clock.slept == sorted(clock.slept) and clock.slept[0] < clock.slept[-1]
    assert 4 < clock.now <= 5


def test_without_patience_it_is_asked_once() -> None:
    clock = Clock()
    assert _publish(FakeProcess(threads=[BUSY]), clock, 0) is Ending.BLOCKED
    assert clock.slept == []


def test_a_process_that_becomes_free_is_published() -> None:
    clock = Clock()
    process = FakeProcess(threads=[BUSY])

    def leave(_: str) -> None:
        if clock.now > 0.05:
            process.threads.clear()

    process.before = leave
    assert _publish(process, clock, 5) is Ending.PUBLISHED
    assert 0.05 < clock.now < 1


def test_a_stop_longer_than_the_budget_writes_nothing() -> None:
    process = FakeProcess(pause_ms=60)
    assert _publish(process, Clock(), 0) is Ending.BLOCKED
    process.pause_ms = 40
    assert _publish(process, Clock(), 0) is Ending.PUBLISHED
