"""A fleet that lost its control plane comes back in a trickle."""

from __future__ import annotations

import random
from collections.abc import Callable

from hotmend.agent.backoff import LONGEST_POLL_S, LONGEST_S, BackOff

MACHINES = 2000
DOWN_S = 600.0


def returns(chance: Callable[[], float]) -> list[float]:
    """When each machine's first try after ``DOWN_S`` comes; all lost it at 0."""
    found = []
    for _ in range(MACHINES):
        back_off, now = BackOff(chance), 0.0
        while now < DOWN_S:
            now += back_off.wait_s()
        found.append(now - DOWN_S)
    return found


def busiest_second(times: list[float]) -> int:
    seconds = [int(time) for time in times]
    return max(seconds.count(second) for second in set(seconds))


def test_machines_come_back_one_after_the_other() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    times = returns(random.Random(seed).random)
    assert max(times) <= LONGEST_S
    assert busiest_second(times) < MACHINES * 0.1


def test_without_chance_they_would_come_together() -> None:
    assert busiest_second(returns(lambda: 0.5)) == MACHINES


def test_an_answer_begins_anew() -> None:
    back_off = BackOff(lambda: 1.0)
    assert [back_off.wait_s() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    back_off.answered()
    assert back_off.wait_s() == 1


def polls(chance: Callable[[], float]) -> list[float]:
    """When each machine's twentieth poll begins; the first began at 0."""
    return [sum(BackOff(chance).poll_s() for _ in range(19)) for _ in range(MACHINES)]


def test_machines_that_came_together_do_not_poll_together() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    times = polls(random.Random(seed).random)
    assert max(times) <= 19 * LONGEST_POLL_S
    assert busiest_second(times) < MACHINES * 0.1


def test_without_chance_they_would_poll_together() -> None:
    assert busiest_second(polls(lambda: 0.5)) == MACHINES
