"""Real Debian packages, an old and a fixed build each: for the demo, the tests and the benchmarks.

Where a package comes from: the folder that HOTMEND_PAIRS names, what was fetched earlier, apt,
and last Debian's snapshot archive, which keeps what mirrors drop. Whatever the way, its SHA-256
must be the one pinned here.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SNAPSHOT = "https://snapshot.debian.org/file"
_MAX_BYTES = 64 << 20
_SECONDS = 120


class PackageMissing(Exception):
    """The package cannot be had, or what was found is not the package; one sentence."""


@dataclass(frozen=True)
class Package:
    """One released .deb. ``sha1`` only names the file in the snapshot archive; ``sha256``
    decides whether it is the right one."""

    name: str
    version: str
    sha256: str
    sha1: str

    @property
    def file_name(self) -> str:
        return f"{self.name}_{self.version}_amd64.deb"


@dataclass(frozen=True)
class Pair:
    """Two released builds of one package."""

    key: str
    old: Package
    new: Package


_PACKAGES = (
    Package(
        "libxml2",
        "2.9.14+dfsg-1.3~deb12u4",
        "f3bac32a5f7d32990af06713eef57664a66e98c13750fa8e007c9cbaf49b98c7",
        "73d9b287566e6cde666e7edbea1771e0d01246ac",
    ),
    Package(
        "libxml2",
        "2.9.14+dfsg-1.3~deb12u6",
        "4460e39dda10a815881374217cde08474747cfa018358cd8612c14b390eff53b",
        "6a16bb0c777264fdbaef83273f581dc658af18ba",
    ),
    Package(
        "nginx",
        "1.22.1-9+deb12u9",
        "4e7b52f8b31f26d77ffb5c427c41e36223e81b047242ecfa8dc1d7f939734885",
        "189a4aaff1242b0ca499b07fe7f955bcc246e2d0",
    ),
    Package(
        "nginx",
        "1.22.1-9+deb12u11",
        "4e2778e675c07d0f2d8d3b6f5ff84f6483ade1d82c21c910eb9a2787e1cf1b1a",
        "ef60e3e1680e005eb77aefdc82b572e9a59fa482",
    ),
    Package(
        "libexpat1",
        "2.5.0-1+deb12u2",
        "2255e62fc22a86d2c544b8a3f516da9aee19383ad5742722ab4ce7f66a30dbc8",
        "ca76ab6c22dfb4d567baa93062361ab927f80c11",
    ),
    Package(
        "libexpat1",
        "2.5.0-1+deb12u5",
        "cae5ded666d8573dd33060bc66fbac21eea8b101a6b56e2af8bd590fcfa65d79",
        "8970d5d8442de89fdf973b9c214299790b6726bb",
    ),
    Package(
        "libssl3",
        "3.0.17-1~deb12u2",
        "d97c29db9d9d1d125580be5d7b2e1170adb47e5a8b4481841718be95fa652e68",
        "90b136b407fad99f2a54656c060e57cfae5aa560",
    ),
    Package(
        "libssl3",
        "3.0.20-1~deb12u2",
        "89be24b41bff568ee6e7caf5680a3d808e80315ed92e407056ce0fa7a5bda025",
        "284281e265adcb7aad5f0d465ab391f7336da132",
    ),
    Package(
        "libssl3",
        "3.0.22-1~deb12u2",
        "cb4784740daa9b3b0eaea2b444bbefa686794afbbf3d678d238c1fd9875f2efd",
        "9646c07cf15db75bb019e7aa9bdfda2961f9addf",
    ),
    Package(
        "libcurl4",
        "7.88.1-10+deb12u5",
        "619b592d51c0e75be0b153dbb671e732739d306bf22f42f8e1bc103235299f0d",
        "6ece4539dd8877c91ef07993cdb6dbcbac265a7c",
    ),
    Package(
        "libcurl4",
        "7.88.1-10+deb12u15",
        "3042904de01f9c4fbdcf1452b8f81abedcf2b015f9b9deba109063322b5bd68b",
        "524d91597b7d48c3fd0954bec58b434bdc1ed1af",
    ),
    Package(
        "libc6",
        "2.36-9+deb12u7",
        "eba944bd99c2f5142baf573e6294a70f00758083bc3c2dca4c9e445943a3f8e6",
        "370433cabd51dddecd7f601f6f31ff32e9388df2",
    ),
    Package(
        "libc6",
        "2.36-9+deb12u14",
        "ba4f88f73dbc3ae9055f3c20f4523bfdbaf1ad13ff95e258924f77d20b4fbedf",
        "c534c6c7f912b61ca26b7cf4082235a0343b8751",
    ),
    Package(
        "haproxy",
        "2.6.12-1+deb12u3",
        "c8fa07420a78bfc47544b2a46e97151a8a12c3b4db62de610b2e37e78506f465",
        "a11b6ec258143a46f8d99c55547373865783404a",
    ),
    Package(
        "haproxy",
        "2.6.12-1+deb12u4",
        "97ca097d12b43fc5cb1b17aa5e84957735ef312a2e02cf8a99512fa1abe8a955",
        "81bd5b7a8b22523907c4faaf1b5e45928e3444c4",
    ),
)
_BY_FILE_NAME = {package.file_name: package for package in _PACKAGES}


def _pair(key: str, name: str, old: str, new: str) -> Pair:
    by_version = {p.version: p for p in _PACKAGES if p.name == name}
    return Pair(key, by_version[old], by_version[new])


PAIRS: Mapping[str, Pair] = {
    pair.key: pair
    for pair in (
        _pair("libxml2", "libxml2", "2.9.14+dfsg-1.3~deb12u4", "2.9.14+dfsg-1.3~deb12u6"),
        _pair("nginx", "nginx", "1.22.1-9+deb12u9", "1.22.1-9+deb12u11"),
        _pair("libexpat1", "libexpat1", "2.5.0-1+deb12u2", "2.5.0-1+deb12u5"),
        _pair("libssl3-17-20", "libssl3", "3.0.17-1~deb12u2", "3.0.20-1~deb12u2"),
        _pair("libssl3-20-22", "libssl3", "3.0.20-1~deb12u2", "3.0.22-1~deb12u2"),
        _pair("libcurl4", "libcurl4", "7.88.1-10+deb12u5", "7.88.1-10+deb12u15"),
        _pair("libc6", "libc6", "2.36-9+deb12u7", "2.36-9+deb12u14"),
        _pair("haproxy", "haproxy", "2.6.12-1+deb12u3", "2.6.12-1+deb12u4"),
    )
}


def by_file_name(file_name: str) -> Package | None:
    """The package of this file name, None when the table has none."""
    return _BY_FILE_NAME.get(file_name)


def find(package: Package, *, snapshot: str = SNAPSHOT) -> Path:
    """The package's file, fetched where need be, its SHA-256 checked.

    Raises PackageMissing: a file of that name with other content, or no way to get one.
    """
    given = os.environ.get("HOTMEND_PAIRS")
    if given and (Path(given) / package.file_name).is_file():
        return _checked(Path(given) / package.file_name, package)
    kept = _cache() / package.file_name
    if kept.is_file() and _digest(kept) == package.sha256:
        return kept
    why = []
    with tempfile.TemporaryDirectory(prefix="hotmend-fetch-") as temporary:
        for way in (_from_apt, _from_snapshot):
            try:
                found = _checked(way(package, Path(temporary), snapshot), package)
            except (PackageMissing, OSError, subprocess.SubprocessError) as error:
                why.append(str(error))
                continue
            return _keep(found, kept)
    raise PackageMissing(
        f"{package.file_name} is not at hand ({'; '.join(why)}): "
        "set HOTMEND_PAIRS to a folder that holds it"
    )


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "hotmend" / "pairs"


def _from_apt(package: Package, folder: Path, _: str) -> Path:
    """What apt's own mirrors still carry: the newest build, rarely an older one."""
    done = subprocess.run(
        ["apt-get", "-qq", "download", f"{package.name}={package.version}"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
    )
    # apt writes the version's special characters as %3a and the like.
    for path in folder.glob(f"{package.name}_*.deb"):
        return path
    lines = [line for line in done.stderr.splitlines() if line.startswith("E:")]
    raise PackageMissing(f"apt: {lines[0].removeprefix('E: ') if lines else 'nothing fetched'}")


def _from_snapshot(package: Package, folder: Path, snapshot: str) -> Path:
    path = folder / package.file_name
    try:
        with urllib.request.urlopen(f"{snapshot}/{package.sha1}", timeout=_SECONDS) as answer:
            data = answer.read(_MAX_BYTES + 1)
    except OSError as error:
        raise PackageMissing(f"snapshot.debian.org: {error}") from None
    if len(data) > _MAX_BYTES:
        raise PackageMissing("snapshot.debian.org: the answer is far too large")
    path.write_bytes(data)
    return path


def _checked(path: Path, package: Package) -> Path:
    found = _digest(path)
    if found != package.sha256:
        raise PackageMissing(
            f"{path} is not the released {package.file_name}: "
            f"its SHA-256 is {found}, not {package.sha256}"
        )
    return path


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _keep(found: Path, kept: Path) -> Path:
    """Into the cache under its name, whole or not at all."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=kept.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(found.read_bytes())
    return Path(name).replace(kept)
