"""The portal's column "Hotpatch status", row by row of its rules."""

from __future__ import annotations

from itertools import product

import pytest

from hotmend.fleet import hotpatch_status as status
from hotmend.fleet.hotpatch_status import Connected, Enablement, Feature, HotpatchStatus, Observed
from hotmend.fleet.support import Image, Row, find, shipped

ROWS = shipped()
EDITION = Image("MicrosoftWindowsServer", "WindowsServer", "serverdatacenter")
SERVER = Connected("windows", "10.0.26100.1742", EDITION, "UEFI")
DEBIAN = Connected("linux", "12", Image("debian", "debian-12", "12"))


def image(sku: str) -> Row | None:
    return find(ROWS, "Azure", Image("microsoftwindowsserver", "WINDOWSSERVER", sku))


@pytest.mark.parametrize(
    ("sku", "wanted", "assessed", "label"),
    [
        ("2022-datacenter-azure-edition-core", True, True, "Enabled"),
        ("2022-datacenter-azure-edition-core", False, True, "Disabled"),
        ("2022-datacenter-azure-edition-core", True, False, "Pending Evaluation"),
        ("2022-datacenter-azure-edition", True, True, "Not Available"),
        ("unheard-of", True, True, "Not Available"),
    ],
)
def test_virtual_machines(sku: str, wanted: bool, assessed: bool, label: str) -> None:
    assert status.of_virtual_machine(image(sku), wanted, assessed) == label


@pytest.mark.parametrize(
    ("wanted", "feature", "assessed", "restart", "label"),
    [
        (None, Feature.NONE, True, False, "Not Enrolled"),
        (None, Feature.ENABLING, False, False, "Pending"),
        (None, Feature.DISABLING, True, False, "Pending"),
        (True, Feature.DISABLED, True, False, "Canceled"),
        (None, Feature.ENABLED, True, False, "Enabled"),
        (True, Feature.ENABLED, True, False, "Enabled"),
        (False, Feature.ENABLED, True, False, "Disabled"),
        (True, Feature.ENABLED, False, False, "Pending"),
        (True, Feature.ENABLED, True, True, "Action Required"),
    ],
)
@pytest.mark.parametrize("machine", [SERVER, DEBIAN], ids=["windows", "debian"])
def test_connected_machines(
    machine: Connected,
    wanted: bool | None,
    feature: Feature,
    assessed: bool,
    restart: bool,
    label: str,
) -> None:
    seen = Observed(wanted, feature, assessed, restart)
    assert status.of_connected(machine, ROWS, seen) == label


@pytest.mark.parametrize(
    ("version", "edition", "label"),
    [
        ("10.0.26100.0", "serverdatacenter", "Not Enrolled"),
        ("10.0.26100.0", "ServerStandardCore", "Not Enrolled"),
        ("10.0.26099.9999", "serverdatacenter", "Not Available"),
        ("10.0.26100.0", "serverturbine", "Not Available"),
        ("", "serverdatacenter", "Not Available"),
    ],
)
def test_without_a_licence_the_system_decides(version: str, edition: str, label: str) -> None:
    machine = Connected("windows", version, Image("MicrosoftWindowsServer", "x", edition))
    nothing = Observed(None, Feature.NONE, True, False)
    assert status.of_connected(machine, ROWS, nothing) == label


def test_enabled_is_said_only_of_what_was_seen() -> None:
    for wanted, feature, assessed, restart in product(
        (None, True, False), Feature, (True, False), (True, False)
    ):
        seen = Observed(wanted, feature, assessed, restart)
        if status.enablement(SERVER, ROWS, seen) is Enablement.ENABLED:
            assert feature is Feature.ENABLED and assessed and not restart and wanted is not False
    old = Connected("windows", "10.0.20348.1", EDITION)
    right = Observed(True, Feature.ENABLED, True, False)
    assert status.enablement(SERVER, ROWS, right) is Enablement.ENABLED
    assert status.enablement(old, ROWS, right) is Enablement.ACTION_REQUIRED
    assert status.of_connected(old, ROWS, right) is HotpatchStatus.ACTION_REQUIRED


def test_who_may_be_enrolled() -> None:
    assert status.ineligible(SERVER, ROWS) == status.ineligible(DEBIAN, ROWS) == ""
    bios = Connected("windows", "10.0.26100.1742", EDITION, "BIOS")
    assert "UEFI" in status.ineligible(bios, ROWS)
    early = Connected("windows", "10.0.26100.1741", EDITION)
    assert "10.0.26100.1742 or later" in status.ineligible(early, ROWS)
    other = Connected("linux", "22.04", Image("ubuntu", "ubuntu-22.04", "22.04"))
    assert status.ineligible(other, ROWS) == "Hotpatch is not supported for '22.04' on Arc."
