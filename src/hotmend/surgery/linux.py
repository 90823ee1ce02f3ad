"""The Linux process: /proc, ptrace and a pidfd behind the ``Process`` port."""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import select
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

from hotmend.model.refusal import Refusal, RefusalCode
from hotmend.surgery import borrow, nativewindow, procfs
from hotmend.surgery.errors import NotPermitted, ProcessError, ProcessGone, Refused
from hotmend.surgery.module import FrameTable, Module, find_modules
from hotmend.surgery.process import PAGE, Attempt, Ending, Mapping, Publication

_MOST_MAPS = 1 << 18
_CODE_CHUNK = 4 << 20
# Documentation/admin-guide/mm/pagemap.rst
_PRESENT, _SWAPPED, _OF_A_FILE = 1 << 63, 1 << 62, 1 << 61
_SYS_KCMP, _KCMP_VM = 312, 1  # kcmp(2)
_libc = ctypes.CDLL(None, use_errno=True)
_sites: dict[tuple[str, int, int], borrow.SyscallSite] = {}
"""By device, inode and file offset of a mapping, relative to its start; checked before use."""


class LinuxProcess:
    """An open process. Use it in a ``with``; it holds a pidfd and /proc/PID/mem."""

    def __init__(self, pid: int, *, writable: bool = True) -> None:
        self.identity = procfs.identify(pid)
        self.pid = pid
        try:
            self._pidfd = os.pidfd_open(pid)
        except OSError:
            raise ProcessGone(f"there is no process {pid}") from None
        try:
            self.command = procfs.command(pid)
            self._refuse_foreign()
            self._memory = os.open(
                f"/proc/{pid}/mem", (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC
            )
        except PermissionError:
            os.close(self._pidfd)
            raise NotPermitted(
                f"process {pid} may not be examined by you; run as root (sudo)"
            ) from None
        except OSError:
            os.close(self._pidfd)
            raise ProcessGone(f"process {pid} has ended") from None
        except Refused:
            os.close(self._pidfd)
            raise

    def __enter__(self) -> LinuxProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        os.close(self._memory)
        os.close(self._pidfd)

    def alive(self) -> bool:
        return not select.select([self._pidfd], [], [], 0)[0]

    def maps(self) -> tuple[Mapping, ...]:
        lines = self._told("maps").split("\n")[:-1]
        if len(lines) > _MOST_MAPS:
            raise ProcessError("the process has too many mappings to examine")
        return tuple(map(procfs.parse_mapping, lines))

    def read(self, address: int, size: int) -> bytes:
        try:
            data = os.pread(self._memory, size, address)
        except OSError as error:
            raise self._broken(f"cannot read {size} bytes at {address:#x}", error) from None
        if len(data) != size:
            raise self._broken(f"has fewer than {size} bytes at {address:#x}", None)
        return data

    def write(self, address: int, data: bytes) -> None:
        try:
            written = os.pwrite(self._memory, data, address)
        except OSError as error:
            raise self._broken(f"cannot write at {address:#x}", error) from None
        if written != len(data):
            raise self._broken(f"took {written} of {len(data)} bytes at {address:#x}", None)

    def modules(self) -> list[Module]:
        return find_modules(self.maps(), self.read)

    def map_memory(self, address: int, size: int, *, writable: bool = False) -> None:
        self._refuse_traced()
        borrow.map_memory(self.identity, self._ground(), address, size, writable=writable)

    def call_function(self, function: int, arguments: tuple[int, int]) -> bool:
        self._refuse_traced()
        return borrow.call_function(self.identity, self._ground(), function, arguments)

    def publish(self, publication: Publication) -> Attempt:
        status = self._refuse_traced()
        other = self._runs_in_the_same_memory(int(status.get("PPid", "0")))
        if other:
            detail = f"process {other} runs in the same memory (vfork, until exec)"
            return Attempt(Ending.BLOCKED, 0.0, 0, None, detail)
        maps = self.maps()
        modules = find_modules(maps, self.read)
        tables = [FrameTable(m.start, m.end, *m.eh_frame_hdr) for m in modules if m.eh_frame_hdr[0]]

        def label(address: int) -> str:
            for affected in publication.affected:
                if affected.start <= address < affected.end:
                    return f"{affected.name}+{address - affected.start:#x}"
            for module in modules:
                if module.start <= address < module.end:
                    return f"{module.name}+{address - module.bias:#x}"
            return f"{address:#x}"

        if nativewindow.chosen():
            return nativewindow.publish(self.pid, self._memory, publication, maps, tables, label)
        from hotmend.surgery import unwind, window  # rarely needed, and start-up counts

        unwinder = unwind.Unwinder(self.read, tables)
        unwinder.prepare()
        if not publication.strict:
            publication = replace(publication, affected=())
        stacks = [(m.start, m.end) for m in maps if "w" in m.permissions]
        target = window.Target(self.pid, self._memory, stacks, unwinder, label)
        return window.publish(target, publication)

    def may_exchange(self, address: int) -> bool:
        mapping = next((m for m in self.maps() if m.start <= address < m.end), None)
        if mapping is None or not mapping.inode:
            return mapping is not None
        try:
            with Path(f"/proc/{self.pid}/pagemap").open("rb", buffering=0) as pages:
                pages.seek(address // PAGE * 8)
                bits = int.from_bytes(pages.read(8), "little")
        except OSError:
            return False
        return bool(bits & _OF_A_FILE) or not bits & (_PRESENT | _SWAPPED)

    def exchange_page(self, address: int, data: bytes, scratch: int) -> None:
        self._refuse_traced()
        if not any(m.start <= scratch < m.end for m in self.maps()):
            self.map_memory(scratch, PAGE)
        self.write(scratch, data)
        if self.read(scratch, PAGE) != data:
            raise self._broken(f"does not read back as written at {scratch:#x}", None)
        borrow.move_page(self.identity, self._ground(), scratch, address)

    def _ground(self) -> borrow.Ground:
        maps = self.maps()
        return borrow.Ground(self._syscall_site(maps), borrow.stacks_of(maps))

    def _syscall_site(self, maps: tuple[Mapping, ...]) -> borrow.SyscallSite:
        """A ``syscall`` instruction in the process's own code, looked for once in each file."""
        readable = False
        executable = _executable(maps)
        for mapping in executable:
            key = mapping.device, mapping.inode, mapping.offset
            known = _sites.get(key) if mapping.inode else None
            if known is not None and borrow.is_site(known.moved(mapping.start), self.read):
                return known.moved(mapping.start)
            for at, code in self._code(mapping):
                readable = True
                site = borrow.find_site([(at, code)])
                if site is not None and (site.home or mapping.path == "[vdso]"):
                    _sites[key] = site.moved(-mapping.start)
                    return site
        if not readable:
            raise ProcessGone(f"process {self.pid} has ended, or runs another program now")
        site = borrow.find_site(chain.from_iterable(map(self._code, executable)))
        if site is not None:
            return site
        raise Refused(
            Refusal(
                RefusalCode.MAPPING_FAILED,
                f"process {self.pid} has no system call instruction to borrow",
                str(self.pid),
            )
        )

    def _code(self, mapping: Mapping) -> Iterator[tuple[int, bytes]]:
        for at in range(mapping.start, mapping.end, _CODE_CHUNK):
            try:
                yield at, self.read(at, min(_CODE_CHUNK, mapping.end - at))
            except ProcessError:
                return

    def _refuse_foreign(self) -> None:
        program = os.open(f"/proc/{self.pid}/exe", os.O_RDONLY | os.O_CLOEXEC)
        try:
            head = os.read(program, 20)
        finally:
            os.close(program)
        if head[:4] == b"\x7fELF" and (head[4] != 2 or head[18:20] != b"\x3e\x00"):
            raise Refused(
                Refusal(
                    RefusalCode.NOT_64_BIT,
                    f"process {self.pid} ({self.command}) is not a 64-bit x86 program",
                    str(self.pid),
                    (("ELF class", str(head[4])), ("machine", head[18:20].hex())),
                )
            )

    def _refuse_traced(self) -> dict[str, str]:
        """Its status. Raises Refused(already-traced)."""
        status = self._status()
        tracer = status.get("TracerPid", "0")
        if tracer == "0":
            return status
        try:
            who = procfs.command(int(tracer))
        except OSError:
            who = "another program"
        raise Refused(
            Refusal(
                RefusalCode.ALREADY_TRACED,
                f"process {self.pid} ({self.command}) is held by {who} (pid {tracer}); "
                "end that first",
                str(self.pid),
                (("tracer", f"{tracer} {who}"),),
            )
        )

    def _runs_in_the_same_memory(self, parent: int) -> int:
        """The parent or a child, when it does: to stop this process is not to stop that one. 0 for
        none. One that is born later is a vfork's, whose parent cannot be stopped."""
        try:
            relatives = [parent, *procfs.children(self.pid)]
        except OSError:
            relatives = [parent]
        kcmp = functools.partial(_libc.syscall, _SYS_KCMP, self.pid)
        return next((pid for pid in relatives if pid and kcmp(pid, _KCMP_VM, 0, 0) == 0), 0)

    def _status(self) -> dict[str, str]:
        lines = self._told("status").splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def _told(self, name: str) -> str:
        """A file of the process's under /proc. It lives afterwards, so that its number meant it."""
        try:
            text = procfs.text(f"{self.pid}/{name}")
        except PermissionError:
            raise NotPermitted(f"process {self.pid} may not be examined by you") from None
        except OSError:
            raise ProcessGone(f"process {self.pid} has ended") from None
        if not self.alive():
            raise ProcessGone(f"process {self.pid} has ended")
        return text

    def _broken(self, what: str, error: OSError | None) -> ProcessError | ProcessGone:
        if not self.alive():
            return ProcessGone(f"process {self.pid} has ended")
        if error is not None and error.errno not in (errno.EIO, errno.EFAULT):
            what = f"{what}: {error.strerror}"
        return ProcessError(f"process {self.pid} {what}")


def _executable(maps: tuple[Mapping, ...]) -> list[Mapping]:
    """What may be executed, the C library first, the vdso after all files."""
    found = [m for m in maps if m.executable and "r" in m.permissions and m.path != "[vsyscall]"]
    return sorted(found, key=lambda m: (m.path == "[vdso]", "/libc" not in m.path))
