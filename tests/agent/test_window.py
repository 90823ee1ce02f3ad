"""Update Manager's arithmetic of time."""

from __future__ import annotations

import pytest

from hotmend.agent.window import MaintenanceWindow

HOUR, MINUTE = 3600.0, 60.0


@pytest.mark.parametrize(
    ("lasts", "left", "package", "hotpatch", "restart"),
    [
        (2 * HOUR, 2 * HOUR, True, True, True),
        (2 * HOUR, 25 * MINUTE, True, True, True),
        (2 * HOUR, 25 * MINUTE - 1, False, True, True),
        (2 * HOUR, 10 * MINUTE, False, True, True),
        (2 * HOUR, 10 * MINUTE - 1, False, True, False),
        (2 * HOUR, MINUTE - 1, False, False, False),
        # Shorter than the reserve, and so on purpose: half of it is kept.
        (20 * MINUTE, 10 * MINUTE, True, True, True),
        (20 * MINUTE, 10 * MINUTE - 1, False, True, False),
    ],
)
def test_what_may_be_begun(
    lasts: float, left: float, package: bool, hotpatch: bool, restart: bool
) -> None:
    window = MaintenanceWindow(1000.0, lasts)
    now = 1000.0 + lasts - left
    assert window.may_begin(now, hotpatch=False) is package
    assert window.may_begin(now, hotpatch=True) is hotpatch
    assert window.may_restart(now) is restart
