"""Places: which machines share a group."""

from __future__ import annotations

from hotmend.fleet.place import Place, place_of

SET = "/subscriptions/S/resourceGroups/RG/providers/Microsoft.Compute/availabilitySets/A"


def test_a_set_is_one_group_however_its_id_is_written() -> None:
    one = place_of("S", "West Europe", "", SET, 3)
    other = place_of("S", "westeurope", "", SET.upper(), 1)
    assert one == Place("westeurope", "", SET.lower(), 3)
    assert one.group == other.group and other.domain == 1


def test_a_machine_in_a_set_is_in_no_zone() -> None:
    assert place_of("S", "westeurope", "2", SET, 0).zone == ""
    assert place_of("S", "westeurope", "2", "", 0).zone == "2"


def test_outside_sets_a_group_is_a_subscription_in_one_region_and_zone() -> None:
    one = place_of("S", "West Europe", "1", "", 4)
    assert one == Place("westeurope", "1", "loose:s/westeurope/1", 0)
    others = [("T", "westeurope", "1"), ("S", "eastus", "1"), ("S", "westeurope", "2")]
    assert one.group not in {place_of(*other, "", 0).group for other in others}
    assert one.group == place_of("s", "WESTEUROPE", "1", "", 0).group
