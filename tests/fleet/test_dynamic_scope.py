"""Which machines a filter finds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hotmend.fleet.dynamic_scope import MOST_MACHINES, Candidate, Filter, selected

VM = Candidate(
    "/s/VM", "Microsoft.Compute/virtualMachines", "Web", "westeurope", "Linux", {"Ring": "1"}
)
ARC = Candidate(
    "/s/arc",
    "Microsoft.HybridCompute/machines",
    "own",
    "northeurope",
    "windows",
    {"ring": "2", "owner": "me"},
)
SET = Candidate("/s/set", "Microsoft.Compute/availabilitySets", "web", "westeurope", "", {})


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Filter(), [ARC, VM]),
        (Filter(group="WEB"), [VM]),
        (Filter(groups=("web", "none")), [VM]),
        (Filter(types=("microsoft.hybridcompute/MACHINES",)), [ARC]),
        (Filter(locations=("northeurope",)), [ARC]),
        (Filter(os_types=("linux",)), [VM]),
        (Filter(os_types=("Windows", "Linux")), [ARC, VM]),
        (Filter(tags=(("ring", ("1", "2")),)), [ARC, VM]),
        (Filter(tags=(("ring", ("1", "2")), ("owner", ("me",)))), [ARC]),
        (Filter(tags=(("ring", ("1",)), ("owner", ("me",))), any_tag=True), [ARC, VM]),
        (Filter(tags=(("owner", ("ME",)),)), []),
        (Filter(group="web", os_types=("windows",)), []),
    ],
)
def test_a_filter(wanted: Filter, found: list[Candidate]) -> None:
    assert selected([VM, SET, ARC], wanted) == sorted(found, key=lambda one: one.id.lower())


def test_the_first_thousand() -> None:
    many = [replace(VM, id=f"/s/{number:05}") for number in range(MOST_MACHINES + 5)]
    found = selected(reversed(many), Filter())
    assert found == many[:MOST_MACHINES]
