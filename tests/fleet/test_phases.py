"""Phases: pairs apart, small first, growing; and the choice of canaries."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.fleets import PAIRS, REGIONS
from hotmend.fleet.phases import Member, chosen_canaries, phases, region_phases
from hotmend.fleet.regions import known, pair_keys, pairs
from hotmend.fleet.rollout import CANARIES
from hotmend.fleet.settings import Settings

SETTINGS = Settings()


def fleet(*counts: tuple[str, str, int]) -> list[Member]:
    return [
        Member(f"{owner}-{region}-{n}", region, owner)
        for owner, region, count in counts
        for n in range(count)
    ]


def test_the_two_regions_of_a_pair_are_in_different_phases() -> None:
    found = region_phases({"east": 5, "west": 5, "alone": 5}, PAIRS)
    assert found["east"] != found["west"]
    assert region_phases({"east": 5, "west": 5, "alone": 5}, {})["west"] == 3


def test_small_regions_come_first_and_phases_grow() -> None:
    sizes = {name: 10 for name in "abcdefgh"} | {"large": 1000, "small": 1}
    found = region_phases(sizes, {})
    assert found["small"] == 1 and found["large"] == max(found.values())
    totals = Counter[int]()
    for region, phase in found.items():
        totals[phase] += sizes[region]
    assert [totals[phase] for phase in sorted(totals)] == [1, 10, 10, 20, 40, 1000]


def test_azures_regions_of_one_size_need_eight_phases() -> None:
    found = region_phases(dict.fromkeys(known(), 100), pairs())
    assert max(found.values()) == 8


@given(st.dictionaries(st.sampled_from(REGIONS), st.integers(1, 1000)))
def test_no_phase_has_a_pair_and_none_is_empty_or_outgrows_those_before(
    sizes: dict[str, int],
) -> None:
    found, keys = region_phases(sizes, PAIRS), pair_keys(PAIRS)
    assert set(found) == set(sizes)
    assert set(found.values()) == set(range(1, len(set(found.values())) + 1))
    before = 0
    for phase in sorted(set(found.values())):
        regions = [r for r in found if found[r] == phase]
        assert len({keys.get(r, r) for r in regions}) == len(regions)
        total = sum(sizes[r] for r in regions)
        assert len(regions) == 1 or total <= before
        before += total


def test_canaries_are_in_phase_0_and_all_others_behind_them() -> None:
    members = fleet(("o", "east", 4), ("o", "west", 2))
    found = phases(members, PAIRS, {"o-east-0"})
    assert found["o-east-0"] == CANARIES
    assert {m: p for m, p in found.items() if p == 1} == {"o-west-0": 1, "o-west-1": 1}
    assert found["o-east-1"] == 2 and len(found) == 6
    assert phases([], PAIRS, ()) == {}


@pytest.mark.parametrize(
    ("size", "count"), [(1, 0), (2, 1), (5, 2), (6, 3), (300, 3), (1000, 10), (1001, 11)]
)
def test_so_many_canaries_are_chosen(size: int, count: int) -> None:
    assert len(chosen_canaries(fleet(("o", "east", size)), SETTINGS, "r")) == count


def test_canaries_come_from_every_owner_and_region() -> None:
    members = fleet(("a", "east", 900), ("a", "west", 5), ("b", "east", 50), ("c", "north", 45))
    chosen = chosen_canaries(members, SETTINGS, "r")
    assert len(chosen) == 10
    by_kind = Counter(name.rsplit("-", 1)[0] for name in chosen)
    assert by_kind == {"a-east": 2, "a-west": 2, "b-east": 3, "c-north": 3}


def test_other_rollouts_have_other_canaries_and_one_always_the_same() -> None:
    members = fleet(("o", "east", 1000))
    shuffled = random.Random(1).sample(members, len(members))
    one = chosen_canaries(members, SETTINGS, "november")
    assert one == chosen_canaries(shuffled, SETTINGS, "november")
    assert one != chosen_canaries(members, SETTINGS, "december")
