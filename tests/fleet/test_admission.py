"""Admission: scenarios, then properties, then each rule switched off."""

from __future__ import annotations

import random

import pytest
from hypothesis import Phase, assume, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from fleet.fleets import ISLANDS, PAIRS, Question, questions, sane, violations
from hotmend.fleet import admission as rules
from hotmend.fleet.admission import Admission, Candidate, Facts, Gate, Holding, admission, budget
from hotmend.fleet.place import Place


def machine(
    name: str,
    region: str = "alone",
    *,
    zone: str = "",
    group: str = "",
    domain: int = 0,
    phase: int = 1,
) -> Candidate:
    return Candidate(name, phase, Place(region, zone, group or f"of {name}", domain))


def held(candidate: Candidate, *, same: bool = True, in_flight: bool = True) -> Holding:
    return Holding(candidate.machine, candidate.place, same, in_flight)


def ask(
    *candidates: Candidate,
    holdings: tuple[Holding, ...] = (),
    sizes: dict[str, int] | None = None,
    most: int = 100,
) -> Admission:
    return admission(candidates, Facts(holdings, sizes or {}, PAIRS, most))


def names(found: Admission) -> list[str]:
    return [c.machine for c in found.start]


def in_set(count: int, *, domains: int = 1) -> list[Candidate]:
    return [machine(f"m{i:02}", group="set", domain=i % domains) for i in range(count)]


@pytest.mark.parametrize(
    ("size", "at_once"),
    [(1, 1), (2, 1), (4, 1), (5, 1), (7, 1), (9, 1), (10, 2), (14, 2), (100, 20)],
)
def test_a_fifth_of_a_set_starts_and_one_of_a_small_one(size: int, at_once: int) -> None:
    assert budget(size) == at_once
    assert len(ask(*in_set(size), sizes={"set": size}).start) == at_once


def test_the_size_of_a_group_counts_machines_that_are_not_in_the_rollout() -> None:
    assert len(ask(*in_set(3), sizes={"set": 15}).start) == 3
    assert len(ask(*in_set(3), sizes={"set": 3}).start) == 1


def test_one_update_domain_at_a_time_and_the_least_first() -> None:
    found = ask(*in_set(20, domains=5), sizes={"set": 20})
    assert {c.place.domain for c in found.start} == {0} and len(found.start) == 4
    assert found.stopped["m01"] is Gate.GROUP


def test_the_domain_that_is_in_flight_goes_on_before_another_begins() -> None:
    busy = machine("busy", group="set", domain=2)
    found = ask(*in_set(20, domains=5), holdings=(held(busy),), sizes={"set": 20})
    assert {c.place.domain for c in found.start} == {2} and len(found.start) == 3


def test_a_failed_machine_uses_up_the_budget_and_keeps_its_domain_closed_to_others() -> None:
    bad = held(machine("bad", group="set", domain=1), same=False, in_flight=False)
    found = ask(*in_set(9, domains=3), holdings=(bad,), sizes={"set": 9})
    assert not found.start and set(found.stopped.values()) == {Gate.GROUP}
    assert ask(*in_set(9, domains=3), sizes={"set": 9}).start


def test_the_holdings_of_another_rollout_count_as_well() -> None:
    other = held(machine("other", group="set"), same=False)
    assert len(ask(*in_set(10), holdings=(other,), sizes={"set": 10}).start) == 1
    assert len(ask(*in_set(10), sizes={"set": 10}).start) == 2


def test_a_machine_that_holds_in_another_rollout_does_not_start() -> None:
    busy = machine("busy")
    found = ask(busy, machine("free"), holdings=(held(busy, same=False),))
    assert names(found) == ["free"] and found.stopped == {"busy": Gate.HOLDS}


def test_the_two_regions_of_a_pair_do_not_start_together() -> None:
    found = ask(machine("a", "west"), machine("b", "east"), machine("c", "north"))
    assert names(found) == ["b", "c"] and found.stopped == {"a": Gate.PAIR}


def test_a_pair_waits_for_what_is_in_flight_and_not_for_what_failed_or_is_anothers() -> None:
    busy = machine("busy", "east")
    assert not ask(machine("a", "west"), holdings=(held(busy),)).start
    for harmless in (held(busy, in_flight=False), held(busy, same=False)):
        assert names(ask(machine("a", "west"), holdings=(harmless,))) == ["a"]


def test_a_pair_that_is_not_mutual_binds_all_the_same() -> None:
    assert names(ask(machine("a", "isle"), machine("b", "north"))) == ["a"]
    assert names(ask(machine("a", "north"), machine("b", "isle"))) == ["b"]


def test_one_zone_of_a_region_at_a_time_and_machines_without_a_zone_with_any() -> None:
    found = ask(
        machine("a"), machine("b", zone="2"), machine("c", zone="1"), machine("d", "east", zone="1")
    )
    assert names(found) == ["a", "c", "d"] and found.stopped == {"b": Gate.ZONE}


def test_the_zone_in_flight_goes_on() -> None:
    busy = held(machine("busy", zone="1"))
    found = ask(machine("b", zone="2"), machine("c", zone="1"), holdings=(busy,))
    assert names(found) == ["c"]
    other = held(machine("busy", zone="1"), same=False)
    assert names(ask(machine("b", zone="2"), holdings=(other,))) == ["b"]


def test_no_more_are_in_flight_than_the_rollout_may() -> None:
    crowd = [machine(f"m{i}") for i in range(9)]
    busy = tuple(held(machine(f"busy{i}")) for i in range(3))
    assert names(ask(*crowd, holdings=busy, most=5)) == ["m0", "m1"]
    assert not ask(*crowd, holdings=busy, most=3).start
    assert not ask(*crowd, holdings=busy, most=2).start


def test_earlier_phases_start_first() -> None:
    found = ask(machine("a", phase=2), machine("b", phase=1), machine("c", phase=0), most=2)
    assert names(found) == ["c", "b"]


# --- properties: hypothesis prints the failing example ------------------------------------------

many = settings(max_examples=80, deadline=None)


@many
@given(questions())
def test_no_start_breaks_a_rule(question: Question) -> None:
    found = admission(question.candidates, question.facts)
    assert violations(question, found.start) == set()


@many
@given(questions())
def test_each_candidate_starts_or_was_stopped_by_one_rule(question: Question) -> None:
    found = admission(question.candidates, question.facts)
    started = names(found)
    assert sorted([*started, *found.stopped]) == sorted(c.machine for c in question.candidates)
    assert set(found.start) <= set(question.candidates)
    assert list(found.start) == sorted(found.start, key=lambda c: c.order)


@many
@given(questions(), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_makes_no_difference(
    question: Question, chance: random.Random
) -> None:
    candidates, holdings = list(question.candidates), list(question.facts.holdings)
    chance.shuffle(candidates)
    chance.shuffle(holdings)
    facts = question.facts
    shuffled = Facts(holdings, facts.sizes, facts.pairs, facts.most)
    assert admission(candidates, shuffled) == admission(question.candidates, facts)


@many
@given(questions(quiet=True))
def test_if_nothing_holds_and_somebody_waits_somebody_starts(question: Question) -> None:
    assert bool(question.candidates) == bool(admission(question.candidates, question.facts).start)


@many
@given(questions())
def test_if_anybody_could_start_somebody_starts(question: Question) -> None:
    assume(sane(question.facts))
    away = [h.place.region for h in question.facts.holdings if h.same and h.in_flight]
    able = [
        c
        for c in question.candidates
        if not violations(question, [c])
        and not any(
            region != c.place.region and ISLANDS.get(region, 0) == ISLANDS.get(c.place.region)
            for region in away
        )
    ]
    assert bool(admission(question.candidates, question.facts).start) == bool(able)


@many
@given(questions())
def test_it_starts_all_that_it_can(question: Question) -> None:
    """Whom the group stopped could not be added: it would break a rule."""
    found = admission(question.candidates, question.facts)
    for candidate in question.candidates:
        if found.stopped.get(candidate.machine) in (Gate.HOLDS, Gate.MOST):
            assert violations(question, [*found.start, candidate])


@many
@given(questions(quiet=True))
def test_a_rollout_in_which_nothing_fails_comes_to_its_end(question: Question) -> None:
    left, facts = set(question.candidates), question.facts
    for _ in range(len(question.candidates)):
        started = admission(left, facts).start
        assert bool(started) == bool(left)
        left -= set(started)
    assert not left


@pytest.mark.parametrize("gate", Gate)
def test_a_rule_switched_off_is_noticed(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rules.RULES, gate, lambda candidates, facts: candidates)

    assert noticed(), f"nobody misses {gate}"


def test_with_every_rule_on_nothing_is_noticed() -> None:
    assert not noticed()


def noticed() -> set[str]:
    """What is wrong with what is admitted of the first of many fleets of which something is."""
    many = settings(max_examples=150, phases=[Phase.generate])
    try:
        return wrong(find(questions(), lambda question: bool(wrong(question)), settings=many))
    except NoSuchExample:
        return set()


def wrong(question: Question) -> set[str]:
    return violations(question, admission(question.candidates, question.facts).start)
