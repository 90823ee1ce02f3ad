"""What apt says, read."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from hotmend.agent import packages
from hotmend.agent.errors import AgentError
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
@pytest.mark.skipif(shutil.which("dpkg") is None, reason="needs dpkg")
@pytest.mark.parametrize(
    ("version", "than", "older"),
    [
        ("1.22.1-9+deb12u9", "1.22.1-9+deb12u11", True),
        ("1.22.1-9+deb12u11", "1.22.1-9+deb12u9", False),
        ("1.0~rc1", "1.0", True),
        ("1:0.9", "1.0", False),
        ("1.0", "1.0", False),
    ],
)
def test_versions_are_ordered_as_dpkg_orders_them(version: str, than: str, older: bool) -> None:
    assert packages.Debian().older(version, than) is older


def test_this_machine() -> None:
    here = packages.found(lambda: None)
    installed = here.installed()
    assert installed["dpkg"] and installed["libc6"]
    for upgrade in here.upgrades():
        assert installed[upgrade.name.partition(":")[0]] == upgrade.old


def test_apt_is_asked_again_when_what_it_reads_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "apt-get"
    script.write_text(f"#!/bin/sh\necho asked >>{tmp_path}/asked\necho {SAID!r}")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "lists").mkdir()
    sources = [f"{tmp_path}/status", f"{tmp_path}/lists/*"]
    here = packages.Debian(sources=sources)

    def asked() -> int:
        assert [upgrade.name for upgrade in here.upgrades()][:1] == ["libxml2"]
        return (tmp_path / "asked").read_text().count("asked")

    assert (asked(), asked()) == (1, 2), "nothing tells whether something was written"
    status = tmp_path / "status"
    status.write_text("of today")
    assert (asked(), asked()) == (3, 3)
    status.write_text("of today")
    assert (asked(), asked()) == (4, 4), "the same again, but written"
    (tmp_path / "lists" / "security").write_text("a newer list")
    assert (asked(), asked()) == (5, 5)
    status.rename(tmp_path / "status-old")
    assert (asked(), asked()) == (6, 6)


def test_what_takes_long_leaves_time_for_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command waits for what is done meanwhile."""
    for name in ("dpkg-query", "apt-get"):
        script = tmp_path / name
        script.write_text(
            f"#!/bin/sh\nuntil [ -e {tmp_path}/go ]; do sleep 0.02; done\necho {SAID!r}"
        )
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    here = packages.found((tmp_path / "go").touch)
    assert [upgrade.name for upgrade in here.upgrades()][:1] == ["libxml2"]


def test_a_command_that_fails_or_never_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    script = tmp_path / "apt-get"
    script.write_text("#!/bin/sh\necho the lists are locked >&2; exit 100")
    script.chmod(0o755)
    here = packages.Debian()
    with pytest.raises(AgentError, match="apt-get failed: the lists are locked"):
        here.upgrades()
    monkeypatch.setattr(packages, "_PATIENCE_S", 0.2)
    script.write_text("#!/bin/sh\nexec sleep 60")
    with pytest.raises(AgentError, match="apt-get did not end"):
        here.upgrades()
