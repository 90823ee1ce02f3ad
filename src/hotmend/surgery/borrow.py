"""Borrow one thread of a process for one system call, and give it back as it was.

The other threads keep running. The work is done in C where the extension was built, in a helper
process that outlives us (``_borrow.h`` says how); ``pyborrow.py`` does the same in Python.
"""

from __future__ import annotations

import array
import errno
import os
from dataclasses import dataclass
from pathlib import Path

from hotmend.model.refusal import Refusal, RefusalCode
from hotmend.surgery import nativewindow, pyborrow
from hotmend.surgery.errors import NotPermitted, ProcessGone, Refused

_SYS_MMAP = 9
_PROT_READ_EXEC = 0x1 | 0x4
_MAP_FLAGS = 0x02 | 0x20 | 0x100000  # PRIVATE | ANONYMOUS | FIXED_NOREPLACE
_SYSCALL = b"\x0f\x05"
_MINUS_ONE = (1 << 64) - 1
_PATIENCE_S = 0.5


@dataclass(frozen=True)
class SyscallSite:
    """The address of a ``syscall`` instruction in the process's own code."""

    address: int


def find_site(code: bytes, start: int) -> SyscallSite | None:
    """The first ``syscall`` instruction's bytes in ``code`` mapped at ``start``."""
    at = code.find(_SYSCALL)
    return SyscallSite(start + at) if at >= 0 else None


def map_memory(pid: int, site: SyscallSite, address: int, size: int) -> None:
    """mmap(address, size, READ|EXEC, PRIVATE|ANONYMOUS|FIXED_NOREPLACE) by a borrowed thread.

    Raises Refused(mapping-failed), ProcessGone, NotPermitted.
    """
    threads = _threads(pid)
    call = (_SYS_MMAP, (address, size, _PROT_READ_EXEC, _MAP_FLAGS, _MINUS_ONE, 0))
    tids = array.array("i", [thread.tid for thread in threads])
    filtered = any(thread.filtered for thread in threads)
    lend = nativewindow.call if nativewindow.chosen() else pyborrow.call
    ending, result, error = lend(
        tids.tobytes(), filtered, int(_PATIENCE_S * 1e9), site.address, *call
    )
    match pyborrow.Loan(ending):
        case pyborrow.Loan.ENDED:
            raise ProcessGone(f"process {pid} ended")
        case pyborrow.Loan.REFUSED_TRACE:
            raise NotPermitted(f"process {pid} may not be traced by you; run as root (sudo)")
        case pyborrow.Loan.REFUSED_SECCOMP:
            raise _failed(
                pid,
                f"process {pid} has a seccomp filter that cannot be suspended "
                f"({os.strerror(error)}); it needs CAP_SYS_ADMIN",
                error,
            )
        case pyborrow.Loan.NO_THREAD:
            raise _failed(
                pid,
                f"no thread of process {pid} stopped within {_PATIENCE_S:g} s; they wait inside "
                "the kernel (state D, or for a vfork child)",
                errno.EBUSY,
            )
    if result != address:
        number = (1 << 64) - result if result > 1 << 63 else errno.EADDRINUSE
        raise _failed(
            pid,
            f"process {pid} cannot map {size:,} bytes at {address:#x}: {os.strerror(number)}",
            number,
        )


@dataclass(frozen=True)
class _Thread:
    tid: int
    asleep: bool  # in the kernel, not to be woken
    filtered: bool


def _threads(pid: int) -> list[_Thread]:
    """The living ones, first those that can be stopped at once."""
    try:
        tids = sorted(int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        raise ProcessGone(f"process {pid} ended") from None
    found = []
    for tid in tids:
        try:
            lines = Path(f"/proc/{pid}/task/{tid}/status").read_text().splitlines()
        except OSError:
            continue
        fields = {name: value.strip() for name, _, value in (row.partition(":") for row in lines)}
        state = fields.get("State", "X")[:1]
        if state not in "ZX":
            found.append(_Thread(tid, state == "D", fields.get("Seccomp", "0") != "0"))
    return sorted(found, key=lambda thread: thread.asleep)


def _failed(pid: int, sentence: str, number: int) -> Refused:
    evidence = (("errno", errno.errorcode.get(number, str(number))),)
    return Refused(Refusal(RefusalCode.MAPPING_FAILED, sentence, str(pid), evidence))
