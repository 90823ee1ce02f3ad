"""Which processes run code that the disk no longer has: deleted or superseded mapped files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from hotmend.surgery import procfs
from hotmend.surgery.procfs import parse_mapping, pids

DELETED = " (deleted)"
"""Behind the path of a mapped file that has none any more, as the kernel says it."""
_NOT_CODE = ("/dev/", "/memfd:", "/SYSV", "/run/", "/tmp/.")


@dataclass(frozen=True)
class OutdatedFile:
    """``path``: as mapped, without "(deleted)". ``reason``: "deleted" when nothing lies under the
    path any more, "superseded" when another file does."""

    path: str
    reason: str


@dataclass(frozen=True)
class ProcessFiles:
    """A process and the code files it has mapped; ``outdated`` is a part of ``mapped``."""

    pid: int
    command: str
    mapped: frozenset[str]
    outdated: tuple[OutdatedFile, ...]


def scan() -> tuple[list[ProcessFiles], int]:
    """(processes that could be examined, number of those that could not)."""
    found, hidden = [], 0
    for pid in pids():
        try:
            found.append(_examine(pid))
        except PermissionError:
            hidden += 1
        except OSError:
            continue
    return [process for process in found if process.mapped], hidden


def _examine(pid: int) -> ProcessFiles:
    seen: dict[str, tuple[str, int]] = {}
    for line in procfs.lines(f"{pid}/maps"):
        if " r-xp " in line and "/" in line:
            mapping = parse_mapping(line)
            seen[mapping.path] = mapping.device, mapping.inode
    command = procfs.command(pid)
    outdated = tuple(_outdated(pid, seen))
    return ProcessFiles(pid, command, frozenset(p.removesuffix(DELETED) for p in seen), outdated)


def _outdated(pid: int, seen: dict[str, tuple[str, int]]) -> Iterator[OutdatedFile]:
    for path, (_, inode) in sorted(seen.items()):
        if not inode or path.startswith(_NOT_CODE):
            continue
        plain = path.removesuffix(DELETED)
        try:
            there = os.stat(f"/proc/{pid}/root{plain}")  # noqa: PTH116 - every process, every file
        except OSError:
            if path.endswith(DELETED):
                yield OutdatedFile(plain, "deleted")
            continue
        if path.endswith(DELETED) or there.st_ino != inode:
            yield OutdatedFile(plain, "superseded")
