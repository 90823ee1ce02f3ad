"""The service's unit: the capabilities that are needed, and no system call filter."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "packaging" / "systemd" / "hotmend-watch.service"
# systemd.exec(5): each of these is made with a seccomp filter, and a process with one may not
# suspend a target's.
FILTERS = (
    *("SystemCallFilter", "SystemCallArchitectures", "RestrictAddressFamilies", "LockPersonality"),
    *("RestrictNamespaces", "RestrictSUIDSGID", "RestrictRealtime", "MemoryDenyWriteExecute"),
    *("ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables", "ProtectClock"),
    *("ProtectHostname", "PrivateDevices"),
)


def _service() -> configparser.SectionProxy:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment]
    unit.read(UNIT)
    return unit["Service"]


def test_it_has_five_capabilities_and_no_filter() -> None:
    service = _service()
    kept = {"SYS_PTRACE", "DAC_OVERRIDE", "SYS_NICE", "SYS_ADMIN", "NET_ADMIN"}
    assert service["CapabilityBoundingSet"].split() == [
        word for word in service["CapabilityBoundingSet"].split() if word[4:] in kept
    ]
    assert len(service["CapabilityBoundingSet"].split()) == len(kept)
    assert not set(FILTERS) & set(service)
    assert service["NoNewPrivileges"] == "yes"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
def test_systemd_understands_it() -> None:
    words = ["systemd-analyze", "security", "--offline=true", "--threshold=75", str(UNIT)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
