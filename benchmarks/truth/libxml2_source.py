"""libxml2 from its Debian source package: unpacked, configured, built as Debian builds it.

Everything lands in a cache outside the checkout and is made once. What is done with it is the
business of rebuild.py (names for the shipped binaries) and of tests/oracle (its test programs).
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

OLD, FIXED = "2.9.14+dfsg-1.3~deb12u4", "2.9.14+dfsg-1.3~deb12u6"
TOOLS = ("dpkg-source", "dpkg-buildflags", "gcc", "make", "pkg-config")
# What `dh_auto_configure` and debian/rules of these versions pass.
CONFIGURE = (
    "--build=x86_64-linux-gnu",
    "--prefix=/usr",
    "--includedir=${prefix}/include",
    "--mandir=${prefix}/share/man",
    "--infodir=${prefix}/share/info",
    "--sysconfdir=/etc",
    "--localstatedir=/var",
    "--disable-option-checking",
    "--disable-silent-rules",
    "--libdir=${prefix}/lib/x86_64-linux-gnu",
    "--runstatedir=/run",
    "--disable-maintainer-mode",
    "--disable-dependency-tracking",
    "--with-history",
    "--without-python",
    "--with-icu",
)
BUILD_OPTIONS = {
    "DEB_BUILD_MAINT_OPTIONS": "hardening=+all",
    "DEB_CFLAGS_MAINT_APPEND": "-Wall -O3",
}


@dataclass(frozen=True)
class Source:
    """One version, unpacked with its patches applied; ``build`` is its configured build folder."""

    version: str
    tree: Path

    @property
    def build(self) -> Path:
        return self.tree / "builddir" / "main"


def missing_tools() -> list[str]:
    """What this machine lacks for a build, by name of the command."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]


def cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "hotmend" / "libxml2"


def package(pairs: Path, version: str) -> Path:
    """The extracted binary package: the folder that holds usr/lib."""
    deb = pairs / f"libxml2_{version}_amd64.deb"
    return _once(
        cache() / f"package-{version}",
        lambda into: _run(["dpkg-deb", "-x", str(deb), str(into)], into),
    )


def shipped(pairs: Path, version: str) -> Path:
    """The library as Debian ships it, stripped."""
    return package(pairs, version) / "usr/lib/x86_64-linux-gnu/libxml2.so.2.9.14"


def source(pairs: Path, version: str) -> Source:
    """Unpacked and configured."""
    dsc = pairs / "source" / f"libxml2_{version}.dsc"

    def make(into: Path) -> None:
        _run(["dpkg-source", "--no-check", "-x", str(dsc), str(into / "tree")], into)

    made = Source(version, _once(cache() / f"source-{version}", make) / "tree")
    if not (made.build / "Makefile").exists():
        made.build.mkdir(parents=True, exist_ok=True)
        _run(["../../configure", *CONFIGURE], made.build, _flags(made.tree))
    return made


def library(pairs: Path, version: str) -> Path:
    """The library built from source with Debian's flags, symbols and debug information kept."""
    made = source(pairs, version)
    _run(["make", "-j2", "libxml2.la"], made.build)
    return made.build / ".libs" / "libxml2.so.2.9.14"


def program(made: Source, code: Path, against: Path) -> Path:
    """The program that the C file ``code`` is, linked with the shared library ``against``.

    Kept in the cache until ``code`` changes.
    """
    target = made.build / f"{code.stem}-{hashlib.sha256(code.read_bytes()).hexdigest()[:12]}"
    if not target.exists():
        flags = ["-O1", "-w", "-D_REENTRANT", "-DHAVE_CONFIG_H"]
        folders = ["-I.", "-Iinclude", "-I../../include", "-I../.."]
        libraries = ["-Wl,-z,lazy", "-lpthread", "-ldl", "-lm", "-lreadline", "-lhistory"]
        part = f"{target}.part"
        _run(["gcc", *flags, *folders, str(code), str(against), *libraries, "-o", part], made.build)
        Path(part).rename(target)
    return target


def _flags(tree: Path) -> dict[str, str]:
    """Debian's compiler flags for a source tree, as environment variables."""
    text = subprocess.run(
        ["dpkg-buildflags", "--export=cmdline"],
        cwd=tree,
        env=os.environ | BUILD_OPTIONS,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return dict(word.split("=", 1) for word in shlex.split(text))


def _once(folder: Path, make: Callable[[Path], None]) -> Path:
    """``folder``, filled by ``make(into)`` if it is not there yet; never left half filled."""
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            into = Path(temporary) / "made"
            into.mkdir()
            make(into)
            into.rename(folder)
    return folder


def _run(command: list[str], folder: Path, extra: dict[str, str] | None = None) -> None:
    """Run quietly; on failure the end of what it said is the error."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | (extra or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout[-2000:]}")
