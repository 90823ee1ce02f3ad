"""What apt says, read."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotmend.agent import packages
from hotmend.agent.packages import Upgrade, simulated
from hotmend.release.classification import Classification

# ruff: noqa: E501
SAID = """\
NOTE: This is only a simulation!
Inst libxml2 [2.9.14+dfsg-1.3~deb12u5] (2.9.14+dfsg-1.3~deb12u6 Debian-Security:12/oldstable-security [amd64]) []
Inst base-files [12.4+deb12u11] (12.4+deb12u15 Debian:12.15/oldstable [amd64])
Inst linux-image-amd64 [6.1.1-1] (6.1.2-1 Debian-Security:12/oldstable-security, Debian:12.15/oldstable [amd64])
Inst linux-image-6.1.0-9-amd64 (6.1.2-1 Debian-Security:12/oldstable-security [amd64])
Conf libxml2 (2.9.14+dfsg-1.3~deb12u6 Debian-Security:12/oldstable-security [amd64])
"""


def test_a_simulation_is_read() -> None:
    assert simulated(SAID) == [
        Upgrade(
            "libxml2",
            "2.9.14+dfsg-1.3~deb12u5",
            "2.9.14+dfsg-1.3~deb12u6",
            Classification.SECURITY,
        ),
        Upgrade("base-files", "12.4+deb12u11", "12.4+deb12u15", Classification.OTHER),
        Upgrade("linux-image-amd64", "6.1.1-1", "6.1.2-1", Classification.SECURITY),
    ]


@pytest.mark.skipif(not Path("/usr/bin/dpkg-query").exists(), reason="this is not Debian")
def test_this_machine() -> None:
    here = packages.found()
    installed = here.installed()
    assert installed["dpkg"] and installed["libc6"]
    for upgrade in here.upgrades():
        assert installed[upgrade.name.partition(":")[0]] == upgrade.old
