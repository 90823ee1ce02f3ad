"""The admission of ``fleet.admission`` and the one in SQL say the same of any fleet."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from tests.fleet.fleets import PAIRS, REGIONS, Question, questions

from hotmend.fleet.admission import admission
from hotmend.fleet.place import Place
from hotmend.fleet.regions import pair_keys
from hotmend.fleet.turn import TurnState
from hotmend.server.rollouts.admit import admit
from hotmend.server.rollouts.moment import Moment
from hotmend.server.storage import rollouts
from hotmend.server.storage.database import Database
from hotmend.server.storage.tables import machines
from server.conftest import new_database
from server.rollouts.fleet import NOW, Fleet, fleet

PHASES = {region: 1 + number % 2 for number, region in enumerate(REGIONS)}
STARTED = TurnState.STARTED
MOMENT = Moment(NOW, NOW - 1e6, pair_keys(PAIRS))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path_factory.mktemp('rollouts') / 'db.sqlite'}"
    if request.param == "postgresql":
        url = new_database(request.getfixturevalue("cluster"))
    made = Database(url)
    made.migrate()
    yield made
    made.close()


def test_a_rollout_is_as_large_as_the_machines_that_have_a_turn_in_it(database: Database) -> None:
    with fleet(database) as made:
        rollout = made.rollout("this")
        for expected, names in ((2, ("a", "b")), (2, ()), (5, ("c", "d", "e"))):
            for name in names:
                made.machine(name, Place("westeurope", "", "set", 0))
            rollouts.join(made.connection, rollout, machines.c.automatic)
            known = rollouts.get(made.connection, "this")
            assert known is not None and known.size == len(made.states("this")) == expected


@settings(
    deadline=None,
    max_examples=2000 if os.environ.get("HOTMEND_FULL") else 100,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # shrinking takes minutes here
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(questions())
def test_sql_admits_whom_the_rules_admit(database: Database, question: Question) -> None:
    question = _with_phases_of_regions(question)
    with fleet(database) as made:
        rollout = made.rollout("this", phases=PHASES)
        made.rollout("another")
        _stage(made, question)
        phases = range(rollout.last_phase + 1)
        admit(made.connection, rollout, phases, MOMENT, question.facts.most)
        states = made.states("this")
    started = {c.machine for c in question.candidates if states.get(c.machine) is STARTED}
    started -= {h.machine for h in question.facts.holdings}
    assert started == {c.machine for c in admission(question.candidates, question.facts).start}


def _with_phases_of_regions(question: Question) -> Question:
    """As rollouts have them: canaries, and all others of a region in one phase."""
    candidates = [
        replace(c, phase=PHASES[c.place.region] if c.phase else 0) for c in question.candidates
    ]
    return replace(question, candidates=tuple(candidates))


def _stage(made: Fleet, question: Question) -> None:
    """Its machines, as many others as make its groups as large as it says, and the turns."""
    known = {c.machine: c.place for c in question.candidates}
    known |= {h.machine: h.place for h in question.facts.holdings}
    for name, place in known.items():
        made.machine(name, place)
    cells = {place.group: place for place in known.values()}
    for group, at in cells.items():
        here = sum(place.group == group for place in known.values())
        for number in range(question.facts.sizes[group] - here):
            made.machine(f"{group}/{number}", at)
    for holding in question.facts.holdings:
        state = STARTED if holding.in_flight else TurnState.FAILED
        made.turn("this" if holding.same else "another", holding.machine, state)
    own = {holding.machine for holding in question.facts.holdings if holding.same}
    for candidate in question.candidates:
        if candidate.machine not in own:
            made.turn("this", candidate.machine, phase=candidate.phase)
