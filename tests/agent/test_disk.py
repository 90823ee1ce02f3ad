"""Real packages onto a real disk, while their service runs: an old and a fixed nginx, in a clean
Debian root with namespaces of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from debian_root import DebianRoot, debian_root, needs_a_root
from hotmend import pairs
from hotmend.agent.hand import Commands, lend
from hotmend.surgery.outdated import scan

pytestmark = needs_a_root()
OLD, NEW = pairs.PAIRS["nginx"].old.version, pairs.PAIRS["nginx"].new.version
ALLOWS = "#!/bin/sh\nexit 0\n"
PACKAGES = ("nginx", "nginx-common")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[DebianRoot]:
    with debian_root(tmp_path, *(f"{name}={OLD}" for name in PACKAGES)) as made:
        # Fetched beforehand: inside there is no network.
        wanted = [f"{name}={NEW}" for name in PACKAGES]
        made.run("apt-get", "-qy", "install", "--download-only", *wanted, network=True)
        # The owner allows everything: what stops a restart is ours.
        policy = made.path / "usr/sbin/policy-rc.d"
        policy.write_text(ALLOWS)
        policy.chmod(0o755)
        made.run("invoke-rc.d", "nginx", "start")
        assert made.version("nginx") == OLD
        yield made


def serving(root: DebianRoot) -> list[int]:
    return sorted(map(int, root.run("pidof", "nginx", check=False).split()))


def commands(root: DebianRoot, policy: Path) -> Commands:
    words = (*root.enter, "chroot", str(root.path), *Commands().install)
    return Commands(words, (), policy, root.path / "run/hotmend-hand.lock")


def test_the_service_keeps_its_processes_and_the_disk_is_fixed(root: DebianRoot) -> None:
    before = serving(root)
    assert len(before) >= 2
    policy = root.path / "usr/sbin/policy-rc.d"
    with lend(commands(root, policy)) as hand:
        hand.install("nginx-common", NEW)
        hand.install("nginx", NEW)
    assert (root.version("nginx"), root.version("nginx-common")) == (NEW, NEW)
    assert serving(root) == before, "no process was restarted"
    assert policy.read_text() == ALLOWS
    program = f"{root.path}/usr/sbin/nginx"
    stale = [p for p in scan()[0] if program in {file.path for file in p.outdated}]
    assert len(stale) == len(before), "and it is seen that they run the old code"


def test_without_the_policy_the_package_would_have_restarted_it(root: DebianRoot) -> None:
    before = serving(root)
    with lend(commands(root, root.path / "nobody-asks-here")) as hand:
        hand.install("nginx-common", NEW)
        hand.install("nginx", NEW)
    assert root.version("nginx") == NEW
    deadline = time.monotonic() + 10
    while set(before) & set(serving(root)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not set(before) & set(serving(root))
