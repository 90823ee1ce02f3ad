"""A clean Debian in a folder, with namespaces of its own: nothing in it reaches this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_BASE = "init-system-helpers,procps,iproute2,ca-certificates"
_PATIENCE_S = 300
_QUIET = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]}


@dataclass
class DebianRoot:
    """``path``: its folder; ``holder``: a process that keeps its namespaces (process ids, network,
    mounts) while it lives."""

    path: Path
    holder: int = 0

    def run(self, *words: str, network: bool = False, check: bool = True) -> str:
        """What WORDS print inside; with ``network`` outside of its namespaces, to fetch."""
        inside = [*([] if network else self.enter), "chroot", str(self.path), *words]
        done = subprocess.run(
            inside, capture_output=True, text=True, env=_QUIET, timeout=_PATIENCE_S
        )
        if check and done.returncode:
            raise AssertionError(f"{words} ended with {done.returncode}: {done.stderr[-2000:]}")
        return done.stdout

    @property
    def enter(self) -> list[str]:
        return ["nsenter", "-t", str(self.holder), "--net", "--pid", "--mount"]

    def version(self, package: str) -> str:
        """As dpkg has it; "" for one that is not installed."""
        form = "${db:Status-Status} ${Version}"
        said = self.run("dpkg-query", "-W", "-f", form, package, check=False).split()
        return said[1] if len(said) == 2 and said[0] == "installed" else ""


def needs_a_root() -> pytest.MarkDecorator:
    """For tests that make one."""
    why = ""
    if not os.environ.get("HOTMEND_FULL"):
        why = "a clean Debian root takes half a minute: scripts/test --full"
    elif os.geteuid() != 0 or shutil.which("mmdebstrap") is None:
        why = "needs root and mmdebstrap"
    return pytest.mark.skipif(bool(why), reason=why)


@contextmanager
def debian_root(folder: Path, *packages: str) -> Iterator[DebianRoot]:
    """With ``packages`` (name or name=version) besides the least that runs."""
    path = folder / "root"
    words = ["mmdebstrap", "--quiet", "--variant=apt", "--mode=root", f"--include={_BASE}"]
    made = subprocess.run(
        [
            *words,
            "bookworm",
            str(path),
            "http://deb.debian.org/debian",
            "deb http://deb.debian.org/debian-security bookworm-security main",
        ],
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
    )
    if made.returncode:
        pytest.skip(f"no Debian root could be made: {made.stderr.strip()[-300:]}")
    path.chmod(0o755)
    script = f"""
        mount --make-rprivate / && mount -t proc proc {path}/proc && ip link set lo up &&
        mount --bind /dev {path}/dev && echo ready && exec sleep infinity
    """
    keeper = subprocess.Popen(
        ["unshare", "--net", "--pid", "--mount", "--fork", "--kill-child", "sh", "-c", script],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert keeper.stdout is not None
    try:
        assert keeper.stdout.readline() == "ready\n"
        children = Path(f"/proc/{keeper.pid}/task/{keeper.pid}/children")
        root = DebianRoot(path, int(children.read_text()))
        (path / "etc/hosts").write_text("127.0.0.1 localhost\n")
        if packages:
            # Nobody may start a service outside of the namespaces.
            policy = path / "usr/sbin/policy-rc.d"
            policy.write_text("#!/bin/sh\nexit 101\n")
            policy.chmod(0o755)
            root.run("apt-get", "-q", "update", network=True)
            root.run(
                "apt-get", "-qy", "install", "--no-install-recommends", *packages, network=True
            )
            policy.unlink()
        yield root
    finally:
        keeper.kill()  # and with it process 1 of the namespace, and so all in it
        keeper.wait()
        time.sleep(0.2)
        shutil.rmtree(path, ignore_errors=True)
