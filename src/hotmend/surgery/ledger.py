"""The ledger: who was patched, with what, and what was there before. It survives the tool.

One JSON file for each process, in a folder for each boot, named by pid and start time and replaced
atomically before the process is touched; beside them a copy of every hotpatch by its sha256. So
another run, tomorrow, without the file, can list, verify and revert.

Entries are not synced to the disk: a killed surgeon loses nothing that was renamed into place, and
a power loss ends the processes together with what was known of them.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from hotmend.surgery.errors import LedgerError
from hotmend.surgery.process import Identity, Write, boot_id

_VERSION = 1
_MOST_BYTES = 16 << 20
_MOST_OF_A_PACKAGE = 128 << 20
_HIGHEST = 1 << 47
_MOST_FILLED = 256 << 20
_UNFINISHED = ".new-"
_RENAME_EXCHANGE = 2
_AT_FDCWD = -100
_libc = ctypes.CDLL(None)


class State(StrEnum):
    """``intent``: about to write; whether it happened is read from memory."""

    INTENT = "intent"
    APPLIED = "applied"
    REVERTED = "reverted"


@dataclass(frozen=True)
class LedgerImage:
    """One image in one process: addresses are absolute. ``filled``: (address, size, sha256) of
    each populated run of the payload, and of each way of a short detour."""

    name: str
    old_build_id: str
    bias: int
    payload: int
    span: int
    filled: tuple[tuple[int, int, str], ...]
    writes: tuple[Write, ...]


@dataclass(frozen=True)
class LedgerEntry:
    """One hotpatch in one process."""

    identity: Identity
    command: str
    package: str
    version: str
    sha256: str
    state: State
    images: tuple[LedgerImage, ...]


class Ledger:
    """The ledger in one folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder if folder is not None else default_folder()
        self._processes = self.folder / "processes" / boot_id()
        self._known: dict[Identity, list[LedgerEntry]] | None = None
        """What was read or written since we have the lock: nobody else may have changed it."""

    def entries(self) -> tuple[list[LedgerEntry], list[str]]:
        """(entries of this boot, sentences on files that cannot be read)."""
        found: list[LedgerEntry] = []
        damaged = []
        for path in sorted(self._processes.glob("[!.]*.json")):  # .new-…: being written
            try:
                found += _read_entries(path)
            except FileNotFoundError:  # its process has ended, and somebody has tidied up
                continue
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                damaged.append(f"{path} is damaged ({error}); what it says is ignored")
        return found, damaged

    def of(self, identity: Identity) -> list[LedgerEntry]:
        """What is known of one process."""
        if self._known is not None and identity in self._known:
            return self._known[identity]
        path = self._path(identity)
        try:
            entries = _read_entries(path)
        except FileNotFoundError:
            entries = []
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise LedgerError(f"{path} is damaged ({error}); move it away") from None
        if self._known is not None:
            self._known[identity] = entries
        return entries

    def record(self, entry: LedgerEntry) -> None:
        """Put ``entry`` in place of the one with the same hotpatch; outlives us on return."""
        entries = [e for e in self.of(entry.identity) if e.sha256 != entry.sha256]
        self._write(entry.identity, [*entries, entry])

    def set_aside(self, identity: Identity) -> None:
        """Put a damaged file where nobody reads it, but somebody may look at it."""
        path = self._path(identity)
        path.replace(path.with_suffix(".damaged"))

    def tidy(self, lives: Callable[[Identity], bool]) -> None:
        """Forget the processes that have ended, those of earlier boots, and what a killed surgeon
        did not finish."""
        for boot in self._processes.parent.glob("*"):
            for path in boot.glob(f"{_UNFINISHED}*"):
                path.unlink(missing_ok=True)
            for path in boot.glob("[!.]*.json"):
                pid, _, start_time = path.stem.partition("-")
                if not (pid + start_time).isdigit():
                    continue
                if not lives(Identity(int(pid), int(start_time), boot.name)):
                    path.unlink(missing_ok=True)
            if boot != self._processes:
                with suppress(OSError):
                    boot.rmdir()

    def keep(self, data: bytes) -> str:
        """Store a hotpatch's bytes; its sha256."""
        digest = hashlib.sha256(data).hexdigest()
        path = self.folder / "hotpatches" / f"{digest}.hotpatch"
        if not path.exists():
            _replace(path, data, synced=True)
        return digest

    def kept(self) -> set[str]:
        """The sha256 of every hotpatch that is stored."""
        return {path.stem for path in (self.folder / "hotpatches").glob("*.hotpatch")}

    def package(self, sha256: str) -> bytes:
        """A stored hotpatch's bytes. Raises LedgerError when it is missing or damaged."""
        path = self.folder / "hotpatches" / f"{sha256}.hotpatch"
        try:
            with path.open("rb") as file:
                data = file.read(_MOST_OF_A_PACKAGE)
        except OSError as error:
            raise LedgerError(f"{path} cannot be read: {error.strerror}") from None
        if hashlib.sha256(data).hexdigest() != sha256:
            raise LedgerError(f"{path} is damaged; put the hotpatch's file in its place")
        return data

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One surgeon at a time."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with (self.folder / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._known = {}
                yield
        except OSError as error:
            if error.filename and str(self.folder) in str(error.filename):
                raise LedgerError(
                    f"{self.folder} cannot be written: {error.strerror}; nothing was patched"
                ) from None
            raise
        finally:
            self._known = None

    def _write(self, identity: Identity, entries: list[LedgerEntry]) -> None:
        content = {"version": _VERSION, "entries": [_to_json(entry) for entry in entries]}
        _replace(self._path(identity), json.dumps(content).encode())
        if self._known is not None:
            self._known[identity] = entries

    def _path(self, identity: Identity) -> Path:
        return self._processes / f"{identity.pid}-{identity.start_time}.json"


def default_folder() -> Path:
    """$HOTMEND_STATE; /var/lib/hotmend for root; a folder of one's own for everybody else."""
    chosen = os.environ.get("HOTMEND_STATE")
    if chosen:
        return Path(chosen)
    if os.geteuid() == 0:
        return Path("/var/lib/hotmend")
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "hotmend"


def applied(entry: LedgerEntry) -> LedgerEntry:
    """The same entry, in force."""
    return replace(entry, state=State.APPLIED)


def reverted(entry: LedgerEntry) -> LedgerEntry:
    """The same entry, undone; its payload lies dormant."""
    return replace(entry, state=State.REVERTED)


def _replace(path: Path, data: bytes, *, synced: bool = False) -> None:
    """Write beside and rename: the old file or the new one. ``synced``: a power loss, too."""
    temporary = path.with_name(f"{_UNFINISHED}{os.getpid()}-{path.name}")
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(data)
                if synced:
                    file.flush()
                    os.fsync(file.fileno())
            if synced or not _exchange(temporary, path):
                temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        if synced:
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        raise LedgerError(
            f"{path} cannot be written: {error.strerror}; nothing further was patched"
        ) from None


def _exchange(new: Path, old: Path) -> bool:
    """Let ``new`` take the place of ``old``, which goes; False where there is none, or no such
    exchange. A plain rename over a file has ext4 write it out at once (ext4(5), auto_da_alloc),
    which takes longer than all else that is done to a process."""
    swap = _AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(old), _RENAME_EXCHANGE
    if _libc.renameat2(*swap):
        return False
    new.unlink()
    return True


def image_to_json(image: LedgerImage) -> dict[str, Any]:
    return {
        "name": image.name,
        "old_build_id": image.old_build_id,
        "bias": image.bias,
        "payload": image.payload,
        "span": image.span,
        "filled": image.filled,
        "writes": [[w.address, w.before.hex(), w.after.hex()] for w in image.writes],
    }


def image_from_json(row: dict[str, Any]) -> LedgerImage:
    """Raises ValueError, KeyError, TypeError. A record in a process's memory may say anything:
    whatever is read by it lies in an address space, and is not more than a hotpatch can have."""
    filled = tuple(
        (_within(address, _HIGHEST), _within(size, _MOST_FILLED), str(sha))
        for address, size, sha in row["filled"]
    )
    _within(sum(size for _, size, _ in filled), _MOST_FILLED)
    return LedgerImage(
        name=str(row["name"]),
        old_build_id=str(row["old_build_id"]),
        bias=_within(row["bias"], _HIGHEST),
        payload=_within(row["payload"], _HIGHEST),
        span=_within(row["span"], _MOST_FILLED),
        filled=filled,
        writes=tuple(
            Write(_within(address, _HIGHEST), bytes.fromhex(before), bytes.fromhex(after))
            for address, before, after in row["writes"]
        ),
    )


def _within(value: object, most: int) -> int:
    if not isinstance(value, int) or not 0 <= value <= most:
        raise ValueError(f"{value!r} is no number from 0 to {most}")
    return value


def _to_json(entry: LedgerEntry) -> dict[str, Any]:
    return {
        "identity": asdict(entry.identity),
        "command": entry.command,
        "package": entry.package,
        "version": entry.version,
        "sha256": entry.sha256,
        "state": entry.state.value,
        "images": [image_to_json(image) for image in entry.images],
    }


def _read_entries(path: Path) -> list[LedgerEntry]:
    with path.open("rb") as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise ValueError("too large")
    content = json.loads(data)
    if content["version"] != _VERSION:
        raise ValueError(f"version {content['version']}")
    return [_from_json(row) for row in content["entries"]]


def _from_json(row: dict[str, Any]) -> LedgerEntry:
    return LedgerEntry(
        identity=Identity(**row["identity"]),
        command=str(row["command"]),
        package=str(row["package"]),
        version=str(row["version"]),
        sha256=str(row["sha256"]),
        state=State(row["state"]),
        images=tuple(image_from_json(image) for image in row["images"]),
    )
