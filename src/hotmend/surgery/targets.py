"""Which processes a hotpatch is for: those that map one of its old builds, found by build-id."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from hotmend.model.build_id import BuildId
from hotmend.model.refusal import Refusal, RefusalCode
from hotmend.surgery.errors import NotPermitted, ProcessError, ProcessGone, Refused
from hotmend.surgery.linux import LinuxProcess
from hotmend.surgery.module import find_modules
from hotmend.surgery.outdated import DELETED
from hotmend.surgery.process import Mapping, Process
from hotmend.surgery.procfs import pids

INIT = 1


class Finder:
    """Finds build-ids in processes; a file's build-id is read once, whoever maps it."""

    def __init__(self, wanted: Iterable[BuildId]) -> None:
        self._wanted = frozenset(wanted)
        self._by_file: dict[tuple[str, int], BuildId | None] = {}

    def maps_any(self, process: Process) -> bool:
        """The process maps one of the wanted builds."""
        return any(self._build_id(process, m) in self._wanted for m in _first_pages(process))

    def everywhere(self) -> tuple[list[int], int]:
        """As ``among``, of all."""
        return self.among(pids())

    def among(self, some: Iterable[int]) -> tuple[list[int], int]:
        """(those that map a wanted build, number of processes that could not be examined). Our own
        process is left out."""
        found, hidden = [], 0
        for pid in some:
            if pid == os.getpid():
                continue
            try:
                with LinuxProcess(pid, writable=False) as process:
                    if self.maps_any(process):
                        found.append(pid)
            except NotPermitted:
                hidden += 1
            except (ProcessGone, ProcessError, Refused):
                continue
        return found, hidden

    def builds(self, pid: int) -> dict[str, BuildId | None]:
        """Of the files that a process maps, by path; empty for one that cannot be examined."""
        try:
            with LinuxProcess(pid, writable=False) as process:
                return {
                    mapping.path.removesuffix(DELETED): self._build_id(process, mapping)
                    for mapping in _first_pages(process)
                }
        except (NotPermitted, ProcessGone, ProcessError, Refused):
            return {}

    def _build_id(self, process: Process, mapping: Mapping) -> BuildId | None:
        key = mapping.device, mapping.inode
        if key not in self._by_file:
            found = find_modules([mapping], process.read)
            self._by_file[key] = found[0].build_id if found else None
        return self._by_file[key]


def why_not_mapped(process: Process) -> Refusal | None:
    """A better answer than "not mapped" for a process that was named: a static program has its
    libraries inside, where no build-id shows them."""
    modules = [m for m in find_modules(process.maps(), process.read) if m.inode]
    if any(module.name.startswith(("ld-linux", "ld.so", "ld-musl")) for module in modules):
        return None
    return Refusal(
        RefusalCode.STATIC_TARGET,
        f"process {process.identity.pid} ({process.command}) is statically linked; its copies of "
        "library code cannot be recognised",
        str(process.identity.pid),
        tuple(("maps", module.path) for module in modules[:4]),
    )


def _first_pages(process: Process) -> Iterator[Mapping]:
    for mapping in process.maps():
        if mapping.offset == 0 and mapping.inode and "r" in mapping.permissions:
            yield mapping
