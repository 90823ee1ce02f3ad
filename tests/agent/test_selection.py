"""Which patches an order means."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hotmend.agent.selection import chosen, select
from hotmend.model.agent_messages import AvailablePatch, InstallationState, Selection

LIVE = AvailablePatch(
    "nginx=2+hotpatch", "nginx 2 live", "2", "Security", "NeverReboots", hotpatch=True
)
DISK = AvailablePatch("nginx=2", "nginx 2", "2", "Security", "CanRequestReboot", hotpatch=False)
OTHER = AvailablePatch("bash=5", "bash 5", "5", "Other", "CanRequestReboot", hotpatch=False)
KB = replace(OTHER, article="KB5068840", kb="KB5068840", reboot="AlwaysRequiresReboot")


def picked(selection: Selection) -> list[str]:
    found = select([KB, OTHER, DISK, LIVE], selection)
    assert len(found) == 4, "every patch is answered for"
    assert all(because for _, state, because in found if not chosen(state))
    return [patch.article for patch, state, _ in found if chosen(state)]


@pytest.mark.parametrize(
    ("selection", "wanted"),
    [
        (Selection(classifications=("Security",)), ["nginx=2+hotpatch", "nginx=2"]),
        (Selection(classifications=("security", "Critical")), ["nginx=2+hotpatch", "nginx=2"]),
        (Selection(include=("bash",)), ["bash=5"]),
        (Selection(include=("BASH*",)), ["bash=5"]),
        (Selection(include=("kb5068840",)), ["KB5068840"]),
        (Selection(classifications=("Security",), exclude=("nginx",)), []),
        (Selection(classifications=("Security",), exclude=("nginx=2",)), ["nginx=2+hotpatch"]),
        (Selection(include=("nginx",), exclude=("*",)), []),
        (Selection(("Security",), only_without_reboot=True), ["nginx=2+hotpatch"]),
        (
            Selection(("Security",), include=("bash",), only_without_reboot=True),
            ["nginx=2+hotpatch"],
        ),
        (Selection(), []),
    ],
)
def test_the_rules(selection: Selection, wanted: list[str]) -> None:
    assert picked(selection) == wanted


def test_excluded_is_told_from_not_selected() -> None:
    states = {p.article: s for p, s, _ in select([OTHER, DISK], Selection(exclude=("bash",)))}
    assert states == {
        "bash=5": InstallationState.EXCLUDED,
        "nginx=2": InstallationState.NOT_SELECTED,
    }
