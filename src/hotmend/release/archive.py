"""Channels as they are: a folder of .deb files, or what apt knows of a suite."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from debian.arfile import ArError
from debian.deb822 import Packages
from debian.debfile import DebError, DebFile
from debian.debian_support import Version

from hotmend.release.candidates import Available
from hotmend.release.errors import CatalogueError

_APT_S = 300
# What becomes a word of apt-get's command line is a package and a version, and no option.
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?")
_VERSION = re.compile(r"[0-9][A-Za-z0-9.+:~-]*")


def in_folder(folder: Path) -> list[Available]:
    """Every .deb in a folder. Raises CatalogueError for one that cannot be read."""
    found = []
    for path in sorted(folder.glob("*.deb")):
        try:
            control = DebFile(str(path)).debcontrol()
        except (ArError, DebError, OSError, ValueError) as error:
            raise CatalogueError(f"{path.name} cannot be read: {error}") from None
        package = control["Package"]
        source = control.get("Source", package).partition(" ")[0]
        found.append(Available(package, control["Version"], source, str(path)))
    return found


def baseline_of(folder: list[Available]) -> dict[str, str]:
    """The oldest version of each package: what a frozen pair calls the old build."""
    oldest: dict[str, str] = {}
    for available in folder:
        known = oldest.get(available.package)
        if known is None or Version(available.version) < Version(known):
            oldest[available.package] = available.version
    return oldest


def baseline_in(text: str, name: str) -> dict[str, str]:
    """Lines of "package=version" or "package version", # for remarks. Raises CatalogueError."""
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].replace("=", " ", 1).split()
        if not words:
            continue
        if len(words) != 2 or not _NAME.fullmatch(words[0]) or not _VERSION.fullmatch(words[1]):
            raise CatalogueError(f"{name}, line {number}: write package=version, not {line!r}")
        found[words[0]] = words[1]
    return found


def installed() -> dict[str, str]:
    """What dpkg has installed on this machine."""
    words = ["dpkg-query", "-W", "-f", "${db:Status-Abbrev}\t${Package}\t${Version}\n"]
    rows = (line.split("\t") for line in _run(words).splitlines())
    return {row[1]: row[2] for row in rows if row[0].startswith("ii")}


def in_suite(suite: str) -> list[Available]:
    """What apt's index has of a suite, such as bookworm-security. Raises CatalogueError when apt
    knows no such suite: the index is as old as the last ``apt-get update``."""
    words = ["apt-get", "indextargets", "--format", "$(SUITE) $(CODENAME) $(FILENAME)"]
    rows = [line.split() for line in _run([*words, "Created-By: Packages"]).splitlines()]
    files = [row[2] for row in rows if len(row) == 3 and suite in row[:2]]
    if not files:
        known = sorted({row[1] for row in rows if len(row) == 3})
        raise CatalogueError(f"apt knows no suite {suite}; it knows: {', '.join(known)}")
    return [entry for file in files for entry in _entries(file)]


def download(available: Available, version: str, folder: Path) -> Path:
    """A version of a package, fetched by apt, which checks it. Raises CatalogueError."""
    before = set(folder.glob("*.deb"))
    _run(["apt-get", "download", f"{available.package}={version}"], folder)
    fetched = set(folder.glob("*.deb")) - before
    if len(fetched) != 1:
        raise CatalogueError(f"apt did not fetch {available.package} {version}")
    return fetched.pop()


def _entries(file: str) -> Iterator[Available]:
    text = _run(["/usr/lib/apt/apt-helper", "cat-file", file])
    for entry in Packages.iter_paragraphs(text.splitlines(keepends=True), use_apt_pkg=False):
        package = entry["Package"]
        source = entry.get("Source", package).partition(" ")[0]
        yield Available(package, entry["Version"], source, entry["Filename"])


def _run(words: list[str], folder: Path | None = None) -> str:
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, check=True, timeout=_APT_S, cwd=folder
        )
    except FileNotFoundError:
        raise CatalogueError(f"there is no {words[0]} on this machine") from None
    except subprocess.SubprocessError as error:
        said = getattr(error, "stderr", "") or str(error)
        last = (said.strip().splitlines() or [""])[-1]
        raise CatalogueError(f"{' '.join(words[:2])} failed: {last}") from None
    return done.stdout
