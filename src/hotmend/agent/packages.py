"""What is installed on the disk, and what could be: dpkg and apt, read and never guessed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hotmend.agent.errors import AgentError
from hotmend.release.classification import Classification

_PATIENCE_S = 120
_MEANWHILE_S = 0.05
# All that apt's answer comes from.
_READ_BY_APT = (
    *("/var/lib/dpkg/status", "/var/lib/dpkg/updates", "/var/lib/dpkg/arch"),
    *("/var/lib/apt/*", "/var/lib/apt/lists/*", "/etc/apt/*", "/etc/apt/*/*"),
)
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

    def older(self, version: str, than: str) -> bool:
        """By the package manager's own order."""


class Debian:
    """dpkg-query and apt-get. ``meanwhile``: called again and again while they are waited for.

    What it would upgrade costs apt seconds: it is asked again only when something that it reads
    (``sources``, globs) was written since.
    """

    def __init__(
        self, meanwhile: Callable[[], None] = lambda: None, sources: Sequence[str] = _READ_BY_APT
    ) -> None:
        self._meanwhile = meanwhile
        self._sources = sources
        self._as_of: list[tuple[str, int, int, int]] = []
        self._upgrades: list[Upgrade] = []

    def installed(self) -> dict[str, str]:
        lines = self._output(
            "dpkg-query", "-W", "-f", "${db:Status-Status} ${Package} ${Version}\\n"
        )
        rows = [line.split() for line in lines.splitlines()]
        return {row[1]: row[2] for row in rows if len(row) == 3 and row[0] == "installed"}

    def upgrades(self) -> list[Upgrade]:
        as_of = _as_of(self._sources)
        if as_of != self._as_of or not as_of:
            self._as_of = []
            question = ("apt-get", "-s", "-qq", "-o", "Debug::NoLocking=true", "dist-upgrade")
            self._upgrades = simulated(self._output(*question))
            self._as_of = as_of
        return list(self._upgrades)

    def files(self, name: str) -> frozenset[str]:
        paths = self._output("dpkg-query", "-L", name).splitlines()
        # /lib is a link to /usr/lib; processes map the latter.
        return frozenset(os.path.realpath(path) for path in paths if path.startswith("/"))

    def older(self, version: str, than: str) -> bool:
        words = ("dpkg", "--compare-versions", version, "lt", than)
        return subprocess.run(words, stdin=subprocess.DEVNULL, check=False).returncode == 0

    def _output(self, *words: str) -> str:
        environment = os.environ | {"LC_ALL": "C.UTF-8"}
        try:
            with subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=environment,
            ) as process:
                said, complained = self._ended(process, words[0])
        except OSError as error:
            raise AgentError(f"{words[0]}: {error}") from None
        if process.returncode:
            raise AgentError(f"{words[0]} failed: {complained.strip()[-300:]}")
        return said

    def _ended(self, process: subprocess.Popen[str], name: str) -> tuple[str, str]:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return process.communicate(timeout=_MEANWHILE_S)
            except subprocess.TimeoutExpired:
                if time.monotonic() > deadline:
                    process.kill()
                    raise AgentError(f"{name} did not end within {_PATIENCE_S} s") from None
            self._meanwhile()


class NoPackages:
    """A machine without a package manager that we know."""

    def installed(self) -> dict[str, str]:
        return {}

    def upgrades(self) -> list[Upgrade]:
        return []

    def files(self, name: str) -> frozenset[str]:
        return frozenset()

    def older(self, version: str, than: str) -> bool:
        return False


def found(meanwhile: Callable[[], None]) -> Packages:
    """What this machine has; ``meanwhile``: see Debian."""
    return Debian(meanwhile) if shutil.which("dpkg-query") else NoPackages()


def _as_of(sources: Iterable[str]) -> list[tuple[str, int, int, int]]:
    """(path, inode, size, when it last changed, ns) of each file there is."""
    found = []
    for path in sorted({path for glob in sources for path in Path("/").glob(glob.lstrip("/"))}):
        with suppress(OSError):
            status = path.stat()
            found.append((str(path), status.st_ino, status.st_size, status.st_ctime_ns))
    return found


def simulated(text: str) -> list[Upgrade]:
    """From what ``apt-get -s dist-upgrade`` prints."""
    upgrades = []
    for match in _INST.finditer(text):
        security = _SECURITY.search(match["origin"]) is not None
        kind = Classification.SECURITY if security else Classification.OTHER
        upgrades.append(Upgrade(match["name"], match["old"], match["new"], kind))
    return upgrades
