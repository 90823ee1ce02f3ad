"""A rollout while servers, the database and agents are killed: nothing is lost, nothing is done
twice, every budget is kept, and it goes on soon."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import pytest

from hotmend.demo.story import folder_for_all
from live.windows import open_now
from server import postgres
from server.rollouts.site import Site, site

T = TypeVar("T")
CHECK = Path(__file__).parents[3] / "scripts" / "check-rollout"
# Seconds until it goes on, after the death of what.
SOON = {"server": 10.0, "database": 30.0, "agents": 30.0}


@dataclass(frozen=True)
class Scale:
    """``seeds``: rollouts, one after the other, with ``kills`` each; ``pause_s``: between them, at
    most; ``poll_s``: a poll waits as long at most; ``soak_s``: silence of the killed must not be
    taken for that of machines.
    Of each set of ``set_size`` one machine begins when the one before it has proven itself."""

    machines: int
    set_size: int
    racks: int
    seeds: int
    kills: int
    pause_s: float
    poll_s: float
    soak_s: float


SMALL = Scale(60, 5, 3, 1, 6, 2.0, 3.0, 12.0)
LARGE = Scale(10_000, 3, 20, 20, 10, 10.0, 60.0, 20.0)
SCALE = LARGE if os.environ.get("HOTMEND_DRILL") == "large" else SMALL
LOOK_EVERY_S = 0.1 if SCALE is SMALL else 0.5  # a look costs the servers' machine something
SCALE = replace(SCALE, seeds=int(os.environ.get("HOTMEND_DRILL_SEEDS", SCALE.seeds)))


pytestmark = [
    pytest.mark.skipif(
        postgres.programs() is None or os.geteuid() != 0,
        reason="needs PostgreSQL, and root to run it as its user",
    ),
    pytest.mark.skipif(
        "HOTMEND_FULL" not in os.environ, reason="takes minutes: scripts/test --full"
    ),
]


def test_nothing_is_lost_and_nothing_done_twice_whoever_is_killed() -> None:
    first = random.randrange(1 << 32)
    pace = {"poll_s": SCALE.poll_s, "install_s": 3.0}
    # Not pytest's folder: another session that begins shuts it to PostgreSQL's user.
    with (
        folder_for_all(False) as folder,
        site(folder, SCALE.machines, SCALE.racks, _settings(), SCALE.set_size, **pace) as made,
    ):
        slowest: dict[str, float] = dict.fromkeys(SOON, 0.0)
        for number in range(SCALE.seeds):
            seed = first + number
            print(f"seed {seed}")
            chance = random.Random(seed)
            name = made.publish(number)
            _until(lambda name=name: bool(made.state(name)), 30)
            for what in _victims(chance):
                time.sleep(chance.uniform(0.5, SCALE.pause_s))
                assert made.state(name) == "running", f"it was over before {what} was killed"
                slowest[what] = max(slowest[what], _killed(made, what, chance))
            rounds_s = SCALE.set_size * (SCALE.soak_s + SCALE.poll_s + pace["install_s"])
            enough_s = 60 + rounds_s + SCALE.machines / 5
            _until(lambda name=name: made.state(name) == "finished", enough_s)
            _nothing_lost_or_doubled(made, number + 1)
        print({what: f"{seconds:.1f} s" for what, seconds in slowest.items()})
        for what, seconds in slowest.items():
            assert seconds <= SOON[what], f"it went on {seconds:.1f} s after {what} was killed"


def test_an_agent_that_forgets_what_it_did_does_it_twice_and_is_found_out() -> None:
    pace = {"poll_s": 3.0, "install_s": 3.0, "forgets": True}
    with folder_for_all(False) as folder, site(folder, 2, 1, _settings(), **pace) as made:
        made.publish(0)
        _kill_midway(made, random.Random(0))
        _until(lambda: 2 in _applied(made).values(), 60)
        with pytest.raises(AssertionError, match="an order was carried out twice"):
            _nothing_lost_or_doubled(made, 1)


def _nothing_lost_or_doubled(made: Site, rollouts: int) -> None:
    turns = SCALE.machines * rollouts
    applied = _applied(made)
    given = sum(len(rack.lines("given")) for rack in made.racks)
    print(f"{len(applied)} orders carried out; {given - len(applied)} were begun again")
    assert given > len(applied), "no agent was killed with an order in its hands"
    assert set(applied.values()) == {1}, "an order was carried out twice"
    assert len(applied) == turns, "an order was lost"
    states = dict(made.ask("SELECT state || ' ' || attempts, count(*) FROM turns GROUP BY 1"))
    assert states == {"healthy 1": turns}
    ends = Counter(
        row[0] for row in made.ask("SELECT subject FROM audit WHERE what = 'install Succeeded'")
    )
    assert set(ends) == {order for _, order in applied} and set(ends.values()) == {1}
    proof = subprocess.run([CHECK, "-"], input=made.log(), capture_output=True, text=True)
    print(proof.stdout)
    assert proof.returncode == 0, proof
    assert f"{turns} healthy, 0 failures, 0 in flight" in proof.stdout


def _applied(made: Site) -> Counter[tuple[str, str]]:
    """How often each (machine, order) was carried out, as the machines wrote it down."""
    lines = (line for rack in made.racks for line in rack.lines("applied"))
    return Counter((line["machine"], line["order"]) for line in lines)


def _kill_midway(made: Site, chance: random.Random) -> float:
    """Agents that have carried out an order and not said so; when."""
    rack = chance.choice(_until(lambda: [rack for rack in made.racks if rack.midway], 60))
    since = time.time()
    rack.kill()
    rack.start()
    return since


def _killed(made: Site, what: str, chance: random.Random) -> float:
    """How long it took until all went on, seconds; what was killed is started again, a server only
    then: the other one must do."""
    since = time.time()
    if what == "server":
        plane = chance.choice(made.planes)
        plane.stop(signal.SIGKILL)
        _until(lambda: made.recovered(since), 60)
        took = time.time() - since
        plane.start()
    else:
        if what == "database":
            made.kill_database()
        else:
            since = _kill_midway(made, chance)
        _until(lambda: made.recovered(since), 60)
        took = time.time() - since
    print(f"{what} killed, all went on after {took:.1f} s")
    return took


def _victims(chance: random.Random) -> list[str]:
    """Each kind as often as the others."""
    kinds = list(SOON)
    victims = [kinds[number % len(kinds)] for number in range(SCALE.kills)]
    chance.shuffle(victims)
    return victims


def _settings() -> dict[str, object]:
    return open_now() | {
        "soak_s": SCALE.soak_s,
        "signal_max_age_s": SCALE.soak_s,
        "canary_share": 0,
        "least_canaries": 0,
        "canary_bake_s": 0,
        "least_most": 10**6,
    }


def _until(question: Callable[[], T], seconds: float) -> T:
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s"
        time.sleep(LOOK_EVERY_S)
    return answer
