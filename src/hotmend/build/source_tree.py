"""A Debian source package as a reader of files: a .dsc with its tar archives, or an unpacked tree.

Nothing is written to disk and no patch program runs. What is read is upstream's file before any
patch: of a tree that dpkg-source unpacked, quilt's own record (.pc) gives it back.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from debian.changelog import Changelog, ChangelogParseError
from debian.deb822 import Dsc
from debian.debian_support import Version

from hotmend.build.errors import BuildError

_MAX_FILE = 32 << 20
_MAX_ARCHIVE = 1 << 30
_MAX_MEMBERS = 500_000
_MAX_DEBIAN = 64 << 20


@dataclass(frozen=True)
class SourceTree:
    """``label``: the input's name. ``version``: of the source package. ``debian``: the files under
    debian/, by path below it. ``upstream``: archives (tar file, folder within the tree), or the
    root of an unpacked tree."""

    label: str
    version: str
    debian: dict[str, bytes] = field(repr=False)
    upstream: tuple[tuple[Path, str], ...] | Path = field(repr=False)

    @property
    def upstream_version(self) -> str:
        return Version(self.version).upstream_version or ""

    def series(self) -> tuple[tuple[str, str], ...]:
        """(patch, text) in the order of debian/patches/series. Raises BuildError."""
        lines = _text(self.debian.get("patches/series", b"")).splitlines()
        names = [line.split("#")[0].split() for line in lines]
        patches = []
        for words in names:
            if not words:
                continue
            if any(word != "-p1" for word in words[1:]):
                raise BuildError(f"{self.label}: patch options are not supported: {words}")
            raw = self.debian.get(f"patches/{words[0]}")
            if raw is None:
                raise BuildError(f"{self.label}: debian/patches/{words[0]} is missing")
            patches.append((words[0], _text(raw)))
        return tuple(patches)

    def read(self, paths: Set[str]) -> dict[str, str]:
        """Upstream's text of those files, as far as they exist. Raises BuildError."""
        if isinstance(self.upstream, Path):
            return _read_tree(self.upstream, paths)
        found: dict[str, str] = {}
        for archive, folder in self.upstream:
            for path, content in _archive(archive, self.label):
                full = f"{folder}/{path}" if folder else path
                if full in paths:
                    found[full] = _text(content())
        return found


def open_source(path: Path) -> SourceTree:
    """A .dsc file (its archives beside it) or an unpacked tree. Raises BuildError."""
    try:
        return _from_tree(path) if path.is_dir() else _from_dsc(path)
    except OSError as error:
        raise BuildError(f"{path} cannot be read: {error.strerror}") from None


def _from_tree(root: Path) -> SourceTree:
    folder = root / "debian"
    if not (folder / "changelog").is_file():
        raise BuildError(f"{root} is not a Debian source tree: it has no debian/changelog")
    debian: dict[str, bytes] = {}
    total = 0
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            total += path.stat().st_size
            if total > _MAX_DEBIAN:
                raise BuildError(f"{root}: debian/ is larger than Hotmend reads")
            debian[path.relative_to(folder).as_posix()] = path.read_bytes()
    return SourceTree(root.name, _version(debian, root.name), debian, root)


def _from_dsc(path: Path) -> SourceTree:
    try:
        dsc = Dsc(_text(path.read_bytes()))
        form = str(dsc.get("Format", ""))
        sums = [(str(e["name"]), str(e["sha256"])) for e in dsc.get("Checksums-Sha256") or ()]
    except (KeyError, ValueError) as error:
        raise BuildError(f"{path.name} cannot be read as a .dsc file: {error}") from None
    if not form or not sums:
        raise BuildError(f"{path.name} is not a .dsc file; give a .dsc or an unpacked source tree")
    if form not in ("3.0 (quilt)", "3.0 (native)"):
        raise BuildError(f"{path.name}: source format {form} is not supported; unpack it first")
    upstream = []
    debian: dict[str, bytes] = {}
    for name, sha256 in sums:
        if name != PurePosixPath(name).name or not name.endswith((".gz", ".xz", ".bz2")):
            continue  # signatures
        archive = path.parent / name
        _check_sum(archive, sha256)
        stem = name.rpartition(".tar.")[0]
        if stem.endswith(".debian") or form == "3.0 (native)":
            debian |= _debian_files(archive, path.name)
        if not stem.endswith(".debian"):
            component = stem.rpartition(".orig")[2].removeprefix("-")
            upstream.append((archive, "" if form == "3.0 (native)" else component))
    return SourceTree(path.name, _version(debian, path.name), debian, tuple(upstream))


def _check_sum(archive: Path, expected: str) -> None:
    try:
        if archive.stat().st_size > _MAX_ARCHIVE:
            raise BuildError(f"{archive.name} is larger than Hotmend reads")
        with archive.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise BuildError(f"{archive} cannot be read: {error.strerror}") from None
    if digest != expected:
        raise BuildError(f"{archive.name} does not have the sha256 that the .dsc names")


def _debian_files(archive: Path, label: str) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for path, content in _archive(archive, label, strip=False):
        _, at_debian, inner = f"/{path}".partition("/debian/")
        if at_debian:
            files[inner] = content()
            if sum(map(len, files.values())) > _MAX_DEBIAN:
                raise BuildError(f"{label}: debian/ is larger than Hotmend reads")
    return files


class _Content:
    """Reads one member when it is wanted."""

    def __init__(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        self._tar = tar
        self._member = member

    def __call__(self) -> bytes:
        stream = self._tar.extractfile(self._member)
        return b"" if stream is None else stream.read(_MAX_FILE)


def _archive(archive: Path, label: str, strip: bool = True) -> Iterator[tuple[str, _Content]]:
    """(path, content) of the regular files; ``strip``: without the archive's top folder."""
    try:
        with tarfile.open(archive, "r|*") as tar:
            for count, member in enumerate(tar):
                if count > _MAX_MEMBERS or member.size > _MAX_ARCHIVE:
                    raise BuildError(f"{label}: {archive.name} is larger than Hotmend reads")
                if member.isreg():
                    path = member.name.removeprefix("./")
                    yield path.partition("/")[2] if strip else path, _Content(tar, member)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise BuildError(f"{label}: {archive.name} cannot be unpacked: {error}") from None


def _read_tree(root: Path, paths: Set[str]) -> dict[str, str]:
    applied = root / ".pc/applied-patches"
    patches = applied.read_text().split() if applied.is_file() else []
    found = {}
    for path in sorted(paths):
        places = [root / ".pc" / patch / path for patch in patches]
        # The first patch that touched the file kept what it was before: upstream's, or nothing.
        kept = next((place for place in places if _inside(place, root)), root / path)
        if _inside(kept, root) and 0 < kept.stat().st_size <= _MAX_FILE:
            found[path] = _text(kept.read_bytes())
    return found


def _inside(path: Path, root: Path) -> bool:
    return path.is_file() and path.resolve().is_relative_to(root.resolve())


def _version(debian: dict[str, bytes], label: str) -> str:
    try:
        newest = Changelog(_text(debian.get("changelog", b"")), max_blocks=1)
        return str(newest.version)
    except (ChangelogParseError, IndexError, ValueError):
        raise BuildError(f"{label}: debian/changelog cannot be read") from None


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
