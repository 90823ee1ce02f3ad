"""The signed repository that the server serves: what it publishes, by its own metadata.

Files lie there that nobody has signed yet, or that were taken back, or that are still on their way:
only what a machine would find, which goes from the timestamp to the snapshot to the bins, is
published. Signatures are for machines to check: nothing here vouches for them.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

from tuf.api.exceptions import RepositoryError as TufError
from tuf.api.metadata import Metadata, Snapshot, Targets, Timestamp
from tuf.api.serialization import DeserializationError

from hotmend.release.errors import NotReleased, RepositoryError

_log = logging.getLogger("hotmend.repository")


class ServedRepository:
    """The one in ``folder``. Any thread may ask."""

    def __init__(self, folder: Path) -> None:
        self.metadata = folder / "metadata"
        self.targets = folder / "targets"
        self._seen: _File | None = None
        self._broken: _File | None = None
        self._published: dict[str, str] = {}
        self._bins: dict[_File, dict[str, str]] = {}

    def releases(self) -> tuple[str, ...]:
        """Names of the signed descriptions of releases."""
        return tuple(name for name in self._names() if name.endswith("release.json"))

    def read(self, name: str) -> bytes:
        """A target that is published. Raises NotReleased where there is none of that name,
        RepositoryError where its file is not there, or not whole."""
        digest = self._names().get(name)
        if digest is None:
            raise NotReleased(f"the repository has no {name}")
        try:
            data = (self.targets / f"{digest}.{name}").read_bytes()
        except OSError as error:
            raise RepositoryError(f"{name} cannot be read: {error.strerror}") from None
        if hashlib.sha256(data).hexdigest() != digest:
            raise RepositoryError(f"{name} is not what the repository's metadata says")
        return data

    def text(self, name: str) -> str:
        """The same, as text."""
        try:
            return self.read(name).decode()
        except UnicodeDecodeError:
            raise RepositoryError(f"{name} is no text") from None

    def _names(self) -> dict[str, str]:
        """SHA-256 by name; while the metadata cannot be read, what it said before."""
        try:
            file = _File.of(self.metadata / "timestamp.json")
        except OSError:
            return self._published  # nobody has published anything, or it is being exchanged
        if file != self._seen:
            try:
                self._published = self._look(file)
                self._seen = file
            except (OSError, TufError, DeserializationError) as error:
                if file != self._broken:  # once; more of it may be on its way
                    _log.warning("the metadata of the repository cannot be read: %s", error)
                self._broken = file
        return self._published

    def _look(self, file: _File) -> dict[str, str]:
        timestamp = Metadata[Timestamp].from_bytes(file.path.read_bytes()).signed
        newest = self.metadata / f"{timestamp.snapshot_meta.version}.snapshot.json"
        snapshot = Metadata[Snapshot].from_bytes(newest.read_bytes()).signed
        named = (f"{meta.version}.{role}" for role, meta in snapshot.meta.items())
        files = [_File.of(self.metadata / name) for name in named]
        # Of a thousand bins a release changes a few.
        before = self._bins
        self._bins = {one: before[one] if one in before else _targets(one) for one in files}
        found = {name: digest for some in self._bins.values() for name, digest in some.items()}
        return dict(sorted(found.items()))


@dataclass(frozen=True)
class _File:
    """As it was when it was looked at."""

    path: Path
    modified: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> _File:
        stat = path.stat()
        return cls(path, stat.st_mtime_ns, stat.st_ino)


def _targets(file: _File) -> dict[str, str]:
    signed = Metadata[Targets].from_bytes(file.path.read_bytes()).signed
    return {name: target.hashes.get("sha256", "") for name, target in signed.targets.items()}
