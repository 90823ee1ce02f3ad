"""Who installs: Microsoft's table, row by row."""

from __future__ import annotations

import pytest

from hotmend.fleet.orchestration import Orchestration, label, orchestration


@pytest.mark.parametrize(
    ("mode", "bypass", "scheduled", "who"),
    [
        ("AutomaticByPlatform", True, True, Orchestration(scheduled=True)),
        ("AutomaticByPlatform", True, False, Orchestration()),
        ("AutomaticByPlatform", False, True, Orchestration(unmet=True)),
        ("AutomaticByPlatform", False, False, Orchestration(automatic=True)),
        ("Manual", True, True, Orchestration(unmet=True)),
        ("AutomaticByOS", False, True, Orchestration(unmet=True)),
        ("ImageDefault", False, False, Orchestration()),
    ],
)
def test_at_most_one_installs(mode: str, bypass: bool, scheduled: bool, who: Orchestration) -> None:
    assert orchestration(mode, bypass, scheduled) == who
    assert who.automatic + who.scheduled + who.unmet <= 1


def test_labels() -> None:
    assert label("AutomaticByPlatform", True) == "Customer Managed Schedules"
    assert label("AutomaticByPlatform", False) == "Azure Managed - Safe Deployment"
    assert label("AutomaticByOS", False) == "Windows Automatic Update"
    assert label("ImageDefault", False) == "Image Default"
    assert label("Manual", True) == "Manual"
    assert label("", False) == "N/A"
