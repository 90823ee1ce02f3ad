"""A process as the surgeon sees it: the port, and the values that cross it.

``linux.py`` is the real one, ``fake.py`` keeps one in memory. Everything that decides works on
these values; only implementations of ``Process`` touch anything.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from hotmend.model.outcome import BlockedBy

PAGE = 4096
WORD = 8


@dataclass(frozen=True)
class Mapping:
    """One line of /proc/PID/maps. ``path`` is "" for anonymous memory."""

    start: int
    end: int
    permissions: str
    offset: int
    device: str
    inode: int
    path: str

    @property
    def executable(self) -> bool:
        return "x" in self.permissions


@dataclass(frozen=True)
class Identity:
    """Which process, even when its pid comes to mean another: ``start_time`` is field 22 of
    /proc/PID/stat, clock ticks since boot ``boot_id``."""

    pid: int
    start_time: int
    boot_id: str


@functools.cache
def boot_id() -> str:
    """Another after each start of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@dataclass(frozen=True)
class Range:
    """Addresses from ``start`` up to ``end`` that belong to function ``name``."""

    start: int
    end: int
    name: str


@dataclass(frozen=True)
class Write:
    """At most 8 bytes inside one page; ``before`` must be there now."""

    address: int
    before: bytes
    after: bytes

    def __post_init__(self) -> None:
        size = len(self.after)
        if not 0 < size <= WORD or len(self.before) != size:
            raise ValueError("a write has 1 to 8 bytes, as many before as after")
        if self.address // PAGE != (self.address + size - 1) // PAGE:
            raise ValueError("a write stays inside one page")

    @property
    def changed(self) -> tuple[int, int]:
        """(first, end) addresses of the bytes that really change."""
        differing = [
            i for i, (a, b) in enumerate(zip(self.before, self.after, strict=True)) if a != b
        ]
        if not differing:
            return self.address, self.address
        return self.address + differing[0], self.address + differing[-1] + 1


@dataclass(frozen=True)
class Publication:
    """What one stop window does.

    ``affected``: ranges that no thread may be in, or return into (``strict``). Without ``strict``
    only the bytes that change must be free. ``budget_ms``: when an attempt takes longer, every
    thread is let go and nothing is written.
    """

    writes: tuple[Write, ...]
    affected: tuple[Range, ...]
    strict: bool = True
    budget_ms: float = 50.0


class Ending(StrEnum):
    """How one attempt ended."""

    PUBLISHED = "published"
    BLOCKED = "blocked"
    BYTES_DIFFER = "bytes-differ"
    GONE = "gone"
    FAILED = "failed"


@dataclass(frozen=True)
class Attempt:
    """``pause_ms``: first stop to last detach. ``detail``: for people, where it failed."""

    ending: Ending
    pause_ms: float
    threads: int
    blocked: BlockedBy | None = None
    detail: str = ""


class Process(Protocol):
    """One process. Everything may raise ProcessGone, NotPermitted or ProcessError."""

    @property
    def identity(self) -> Identity: ...

    @property
    def command(self) -> str: ...

    def maps(self) -> tuple[Mapping, ...]: ...

    def read(self, address: int, size: int) -> bytes:
        """Exactly ``size`` bytes."""

    def write(self, address: int, data: bytes) -> None:
        """Past page protections, while the process runs."""

    def map_memory(self, address: int, size: int, *, writable: bool = False) -> None:
        """Map ``size`` zero bytes, readable and executable (or writable), at exactly ``address``;
        one thread is borrowed for one system call. Raises Refused(mapping-failed)."""

    def call_function(self, function: int, arguments: tuple[int, int]) -> bool:
        """Let a thread that holds no locks call a function of its process; False when there is
        none now."""

    def publish(self, publication: Publication) -> Attempt:
        """Stop every thread, check, write, let go."""

    def may_exchange(self, address: int) -> bool:
        """The page at ``address`` is as its file has it, or of no file: nobody has put anything
        there (a breakpoint of the kernel's) that would be lost with its place in the file."""

    def exchange_page(self, address: int, data: bytes, scratch: int) -> None:
        """Put a page of read-execute memory with ``data`` in the place of the one at ``address``,
        in one step, while threads run. ``scratch``: where to make it ready; free, or left by such
        a step that did not end. Raises Refused(mapping-failed)."""

    def alive(self) -> bool: ...
