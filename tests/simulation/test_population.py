"""Who a simulated fleet consists of."""

from __future__ import annotations

from collections import Counter

from hotmend.simulation.population import ZONES, Layout, population

LAYOUT = Layout("g", ("westeurope", "eastus", "a-cellar"), 0.3, 5, tags={"tier": "web"})


def test_regions_take_turns_and_each_has_its_own_time() -> None:
    places = population(LAYOUT, 300, 1)
    assert Counter(p.region for p in places) == dict.fromkeys(LAYOUT.regions, 100)
    zones = {p.region: p.time_zone for p in places}
    assert zones["eastus"] == "America/New_York" and zones["a-cellar"] == "Etc/UTC"
    assert len({p.name for p in places}) == 300


def test_a_machine_is_in_a_set_or_in_a_zone() -> None:
    places = population(LAYOUT, 3000, 1)
    assert all(bool(p.zone) != bool(p.availability_set) for p in places)
    assert {p.zone for p in places if p.zone} == set(ZONES)
    sizes = Counter(p.availability_set for p in places if p.availability_set)
    assert 0.25 < sum(sizes.values()) / 3000 < 0.35
    assert max(sizes.values()) == 5 and sum(size < 5 for size in sizes.values()) <= 3
    regions = {p.availability_set: p.region for p in places if p.availability_set}
    assert all(name.startswith(region) for name, region in regions.items())


def test_every_one_is_tagged_simulated_whatever_tags_it_has() -> None:
    lying = Layout("g", ("eastus",), tags={"simulated": "false", "tier": "web"})
    for place in population(lying, 10, 1):
        assert dict(place.tags) == {"simulated": "true", "tier": "web"}


def test_the_same_seed_gives_the_same_population() -> None:
    assert population(LAYOUT, 100, 5) == population(LAYOUT, 100, 5) != population(LAYOUT, 100, 6)
