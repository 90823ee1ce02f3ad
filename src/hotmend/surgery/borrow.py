"""Borrow one thread of a process for one system call, and give it back as it was.

The other threads keep running. The work is done in C where the extension was built, in a helper
process that outlives us (``_borrow.h`` says how); ``pyborrow.py`` does the same in Python.
"""

from __future__ import annotations

import array
import errno
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, pairwise

from hotmend.model.refusal import Refusal, RefusalCode
from hotmend.surgery import nativewindow, procfs
from hotmend.surgery.errors import NotPermitted, ProcessError, ProcessGone, Refused
from hotmend.surgery.loan import A_FUNCTION, Arguments, Lend, Loan
from hotmend.surgery.process import PAGE, Identity, Mapping

_SYS_MMAP = 9
_SYS_MREMAP = 25
_MREMAP_FLAGS = 0x1 | 0x2  # MAYMOVE | FIXED
_MOST_ERRNO = 4095
_PROT_READ, _PROT_WRITE, _PROT_EXEC = 0x1, 0x2, 0x4
_MAP_FLAGS = 0x02 | 0x20 | 0x100000  # PRIVATE | ANONYMOUS | FIXED_NOREPLACE
_SYSCALL = b"\x0f\x05"
_RETURNING = b"\x0f\x05\xc3"
_SIGRETURN = b"\x48\xc7\xc0\x0f\x00\x00\x00\x0f\x05"  # mov $15, %rax; syscall
_MOST_THREADS = 256
_MOST_STACKS = 4096
_GUARD_MOST = 1 << 20
_STACK_MOST = 64 << 20
_MINUS_ONE = (1 << 64) - 1
_PATIENCE_S = 0.5


lend: Lend | None = None
"""Who borrows in our place: set in a surgeon, which may not do it all by itself."""


def lender() -> Lend:
    """In C where the extension was built."""
    if nativewindow.chosen():
        return nativewindow.call
    from hotmend.surgery import pyborrow  # rarely needed, and start-up counts

    return pyborrow.call


@dataclass(frozen=True)
class SyscallSite:
    """The address of a ``syscall`` instruction in the process's own code. ``home``: of its C
    library's call of rt_sigreturn, where the ``syscall`` is followed by ``ret``; else 0."""

    address: int
    home: int = 0

    def moved(self, by: int) -> SyscallSite:
        """The same instructions in a mapping that starts elsewhere."""
        return SyscallSite(self.address + by, self.home + by if self.home else 0)


@dataclass(frozen=True)
class Ground:
    """What a process has for a borrowed thread to stand on: ``stacks`` as of ``stacks_of``."""

    site: SyscallSite
    stacks: Sequence[tuple[int, int]]


def find_site(code: Iterable[tuple[int, bytes]]) -> SyscallSite | None:
    """The best in ``code``, (address, bytes) of executable memory: one from which a thread finds
    home by itself, else any."""
    plain = returning = home = 0
    for start, data in code:
        for found, pattern in ((plain, _SYSCALL), (returning, _RETURNING), (home, _SIGRETURN)):
            at = data.find(pattern) if not found else -1
            if at >= 0 and pattern is _SYSCALL:
                plain = start + at
            elif at >= 0 and pattern is _RETURNING:
                returning = start + at
            elif at >= 0:
                home = start + at
        if returning and home:
            return SyscallSite(returning, home)
    return SyscallSite(plain) if plain else None


def is_site(site: SyscallSite, read: Callable[[int, int], bytes]) -> bool:
    """The instructions are there."""
    try:
        return read(site.address, len(_RETURNING)) == _RETURNING and (
            read(site.home, len(_SIGRETURN)) == _SIGRETURN
        )
    except ProcessError:
        return False


def stacks_of(maps: Sequence[Mapping]) -> list[tuple[int, int]]:
    """(start, end) of the mappings that are a thread's stack for certain: the first thread's, and
    those of the C library's threads, which lie behind a guard. Others, such as a coroutine's, may
    have something of value right below."""
    found = []
    for before, mapping in pairwise([None, *maps]):
        assert mapping is not None
        size = mapping.end - mapping.start
        guarded = (
            before is not None
            and before.end == mapping.start
            and before.permissions.startswith("---")
            and before.end - before.start <= _GUARD_MOST
        )
        if mapping.path == "[stack]" or (
            guarded and not mapping.inode and "rw" in mapping.permissions and size <= _STACK_MOST
        ):
            found.append((mapping.start, mapping.end))
    return found


def map_memory(of: Identity, ground: Ground, address: int, size: int, *, writable: bool) -> None:
    """mmap(address, size, READ|EXEC or READ|WRITE, PRIVATE|ANONYMOUS|FIXED_NOREPLACE) by a
    borrowed thread. Raises Refused(mapping-failed), ProcessGone, NotPermitted."""
    protection = _PROT_READ | (_PROT_WRITE if writable else _PROT_EXEC)
    arguments = (address, size, protection, _MAP_FLAGS, _MINUS_ONE, 0)
    result = _lent_call(of, ground, _SYS_MMAP, arguments)
    if result != address:
        raise _failed(of.pid, f"process {of.pid} cannot map {size:,} bytes at {address:#x}", result)


def _lent_call(of: Identity, ground: Ground, number: int, arguments: Arguments) -> int:
    """What the system call gave."""
    pid = of.pid
    ending, result, error = _borrowed(of, _threads(pid), ground, number, arguments)
    match Loan(ending):
        case Loan.ENDED:
            raise ProcessGone(f"process {pid} ended")
        case Loan.REFUSED_TRACE:
            raise NotPermitted(f"process {pid} may not be traced by you; run as root (sudo)")
        case Loan.REFUSED_SECCOMP:
            raise _failed(
                pid,
                f"process {pid} has a seccomp filter that cannot be suspended; "
                "it needs CAP_SYS_ADMIN",
                -error,
            )
        case Loan.NO_THREAD:
            raise _failed(
                pid,
                f"no thread of process {pid} stopped within {_PATIENCE_S:g} s; they wait inside "
                "the kernel (state D, or for a vfork child)",
                -errno.EBUSY,
            )
    return result


def move_page(of: Identity, ground: Ground, source: int, target: int) -> None:
    """mremap of one page onto another, which it replaces, by a borrowed thread. Other threads find
    the one or the other. Raises as ``map_memory``."""
    arguments = (source, PAGE, PAGE, _MREMAP_FLAGS, target, 0)
    result = _lent_call(of, ground, _SYS_MREMAP, arguments)
    if result != target:
        raise _failed(of.pid, f"process {of.pid} cannot exchange the page at {target:#x}", result)


def call_function(of: Identity, ground: Ground, function: int, arguments: tuple[int, int]) -> bool:
    """``function(*arguments)`` by a thread that rests in a call which holds no locks; False when
    none does. Raises ProcessGone."""
    at = replace(ground, site=replace(ground.site, address=function))
    resting = [thread for thread in _threads(of.pid) if not thread.asleep]
    ending, _, _ = _borrowed(of, resting, at, A_FUNCTION, (*arguments, 0, 0, 0, 0))
    if ending == Loan.ENDED and resting:
        raise ProcessGone(f"process {of.pid} ended")
    return ending == Loan.CALLED


def _borrowed(
    of: Identity, threads: list[_Thread], ground: Ground, number: int, arguments: Arguments
) -> tuple[int, int, int]:
    tids = array.array("i", [thread.tid for thread in threads[:_MOST_THREADS]])
    stacks = array.array("Q", chain.from_iterable(islice(ground.stacks, _MOST_STACKS)))
    return (lend or lender())(
        (of.pid, of.start_time),
        tids.tobytes(),
        any(thread.filtered for thread in threads),
        int(_PATIENCE_S * 1e9),
        ground.site.address,
        ground.site.home,
        stacks.tobytes(),
        number,
        arguments,
    )


@dataclass(frozen=True)
class _Thread:
    tid: int
    asleep: bool  # in the kernel, not to be woken
    filtered: bool


def _threads(pid: int) -> list[_Thread]:
    """The living ones, first those that can be stopped at once, and of them those that may make
    any call."""
    try:
        tids = procfs.tids(pid)
    except OSError:
        raise ProcessGone(f"process {pid} ended") from None
    found = []
    for tid in tids:
        try:
            lines = procfs.lines(f"{pid}/task/{tid}/status")
        except OSError:
            continue
        fields = {name: value.strip() for name, _, value in (row.partition(":") for row in lines)}
        state = fields.get("State", "X")[:1]
        if state not in "ZX":
            found.append(_Thread(tid, state == "D", fields.get("Seccomp", "0") != "0"))
    return sorted(found, key=lambda thread: (thread.asleep, thread.filtered))


def _failed(pid: int, sentence: str, result: int) -> Refused:
    """``result``: of the system call; another address than the one asked for is one in use."""
    number = -result & _MINUS_ONE
    if number > _MOST_ERRNO:
        number = errno.EADDRINUSE
    sentence = f"{sentence}: {os.strerror(number)}"
    evidence = (("errno", errno.errorcode.get(number, str(number))),)
    return Refused(Refusal(RefusalCode.MAPPING_FAILED, sentence, str(pid), evidence))
