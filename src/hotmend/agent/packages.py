"""What is installed on the disk, and what could be: dpkg and apt, read and never guessed."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from typing import Protocol

from hotmend.agent.errors import AgentError
from hotmend.release.classification import Classification

_PATIENCE_S = 120
# Inst libxml2 [2.9.14+dfsg-1.3~deb12u5] (2.9.14+dfsg-1.3~deb12u6 Debian-Security:12/… [amd64])
_INST = re.compile(r"Inst (?P<name>\S+) \[(?P<old>[^\]]+)\] \((?P<new>\S+) (?P<origin>[^)]*)\)")
_SECURITY = re.compile(r"\b(Debian-Security:|\S+-security\b)")


@dataclass(frozen=True)
class Upgrade:
    """An installed package for which apt has a newer version."""

    name: str
    old: str
    new: str
    classification: Classification


class Packages(Protocol):
    """The machine's package manager."""

    def installed(self) -> dict[str, str]:
        """Version by name. Raises AgentError."""

    def upgrades(self) -> list[Upgrade]:
        """What apt would upgrade by the lists that it has. Raises AgentError."""

    def files(self, name: str) -> frozenset[str]:
        """Where the package's files lie, links followed. Raises AgentError."""


class Debian:
    """dpkg-query and apt-get."""

    def installed(self) -> dict[str, str]:
        lines = _output("dpkg-query", "-W", "-f", "${db:Status-Status} ${Package} ${Version}\\n")
        rows = [line.split() for line in lines.splitlines()]
        return {row[1]: row[2] for row in rows if len(row) == 3 and row[0] == "installed"}

    def upgrades(self) -> list[Upgrade]:
        return simulated(
            _output("apt-get", "-s", "-qq", "-o", "Debug::NoLocking=true", "dist-upgrade")
        )

    def files(self, name: str) -> frozenset[str]:
        paths = _output("dpkg-query", "-L", name).splitlines()
        # /lib is a link to /usr/lib; processes map the latter.
        return frozenset(os.path.realpath(path) for path in paths if path.startswith("/"))


class NoPackages:
    """A machine without a package manager that we know."""

    def installed(self) -> dict[str, str]:
        return {}

    def upgrades(self) -> list[Upgrade]:
        return []

    def files(self, name: str) -> frozenset[str]:
        return frozenset()


def found() -> Packages:
    """What this machine has."""
    try:
        _output("dpkg-query", "--version")
    except AgentError:
        return NoPackages()
    return Debian()


def simulated(text: str) -> list[Upgrade]:
    """From what ``apt-get -s dist-upgrade`` prints."""
    upgrades = []
    for match in _INST.finditer(text):
        security = _SECURITY.search(match["origin"]) is not None
        kind = Classification.SECURITY if security else Classification.OTHER
        upgrades.append(Upgrade(match["name"], match["old"], match["new"], kind))
    return upgrades


def _output(*words: str) -> str:
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            env=os.environ | {"LC_ALL": "C.UTF-8"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AgentError(f"{words[0]}: {error}") from None
    if done.returncode:
        raise AgentError(f"{words[0]} failed: {done.stderr.strip()[-300:]}")
    return done.stdout
