"""Regions and their pairs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hotmend.fleet.regions import known, normalised, pair_keys, pairs

NAMES = st.sampled_from("abcdefgh")


def test_two_of_a_pair_have_one_key_and_strangers_have_not() -> None:
    keys = pair_keys({"a": "b", "b": "a", "c": "d"})
    assert keys == {"a": "a", "b": "a", "c": "c", "d": "c"}


def test_a_pair_that_is_not_mutual_binds_all_three() -> None:
    keys = pair_keys(pairs())
    assert keys["brazilsouth"] == keys["southcentralus"] == keys["northcentralus"]
    assert keys["westeurope"] == keys["northeurope"] != keys["uksouth"]
    assert "polandcentral" not in keys


@given(st.dictionaries(NAMES, NAMES))
def test_keys_are_the_islands_of_the_graph_of_pairs(given_pairs: dict[str, str]) -> None:
    keys = pair_keys(given_pairs)
    edges = {frozenset(pair) for pair in given_pairs.items()}
    for start in keys:
        island, new = set(), {start}
        while new:
            island |= new
            new = {name for edge in edges if edge & island for name in edge} - island
        assert {name for name in keys if keys[name] == keys[start]} == island
        assert keys[start] == min(island)
    assert set(keys) == {name for edge in edges for name in edge}


def test_every_region_has_a_zone_and_a_pair_that_is_known() -> None:
    for name, region in known().items():
        assert normalised(region.display) == name or name in normalised(region.display)
        assert region.pair in ("", *known())
        assert "/" in region.zone
