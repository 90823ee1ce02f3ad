"""Borrow one thread of a process for one system call, and give it back as it was.

The other threads keep running. The thread is stopped by PTRACE_INTERRUPT, its registers are kept,
it executes one ``syscall`` instruction that its process already has, and its registers return.

A thread inside an interruptible system call stops with ``rax`` = -ERESTART... and ``orig_rax``
= the call's number; when it resumes with these registers the kernel restarts the call (or returns
EINTR, as for any signal-free interruption). While it runs ours, ``orig_rax`` is -1 so that the
kernel restarts nothing; putting all registers back puts the restart back, too.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hotmend.model.refusal import Refusal, RefusalCode
from hotmend.surgery import ptrace
from hotmend.surgery.errors import NotPermitted, ProcessGone, Refused

_SYS_MMAP = 9
_PROT_READ_EXEC = 0x1 | 0x4
_MAP_FLAGS = 0x02 | 0x20 | 0x100000  # PRIVATE | ANONYMOUS | FIXED_NOREPLACE
_SYSCALL = b"\x0f\x05"
_PATIENCE_S = 1.0
_MINUS_ONE = (1 << 64) - 1


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
    with _borrowed(pid) as tid:
        result = _call(pid, tid, site, _SYS_MMAP, address, size, _PROT_READ_EXEC, _MAP_FLAGS)
    if result == address:
        return
    number = (1 << 64) - result if result > 1 << 63 else 0
    raise Refused(
        Refusal(
            RefusalCode.MAPPING_FAILED,
            f"process {pid} cannot map {size:,} bytes at {address:#x}: "
            f"{os.strerror(number) if number else 'the kernel chose another address'}",
            str(pid),
            (("errno", errno.errorcode.get(number, str(number))),),
        )
    )


@contextmanager
def _borrowed(pid: int) -> Iterator[int]:
    """A stopped thread of the process, seccomp suspended. It is let go on every way out."""
    tid = _seize_one(pid)
    deliver = 0
    try:
        ptrace.interrupt(tid)
        deliver = _await_stop(pid, tid)
        _suspend_seccomp(pid, tid)
        saved = ptrace.get_registers(tid)
        try:
            yield tid
        finally:
            with ptrace.no_such_process_is_fine():
                ptrace.set_registers(tid, saved)
    except ProcessLookupError:
        raise ProcessGone(f"process {pid} ended") from None
    finally:
        with ptrace.no_such_process_is_fine():
            ptrace.detach(tid, deliver)


def _seize_one(pid: int) -> int:
    """Seize the main thread, or where it has ended or sleeps in the kernel, another one."""
    refused: OSError | None = None
    for tid in _threads_by_readiness(pid):
        try:
            ptrace.seize(tid)
        except ProcessLookupError:
            continue
        except PermissionError as error:
            refused = error
            continue
        return tid
    if refused is not None:
        raise NotPermitted(f"process {pid} may not be traced by you; run as root (sudo)")
    raise ProcessGone(f"process {pid} ended")


def _threads_by_readiness(pid: int) -> list[int]:
    ready: list[int] = []
    asleep: list[int] = []
    try:
        entries = sorted(int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        raise ProcessGone(f"process {pid} ended") from None
    for tid in entries:
        state = _state(pid, tid)
        if state in "ZX":
            continue
        (asleep if state == "D" else ready).append(tid)
    return ready + asleep


def _state(pid: int, tid: int) -> str:
    try:
        text = Path(f"/proc/{pid}/task/{tid}/stat").read_text()
    except OSError:
        return "X"
    return text.rpartition(")")[2].split()[0]


def _await_stop(pid: int, tid: int) -> int:
    """Wait until the thread stops; the signal to deliver when it is let go."""
    deadline = time.monotonic() + _PATIENCE_S
    while (stopped := ptrace.wait(tid, block=False)) is None:
        if time.monotonic() > deadline:
            raise Refused(
                Refusal(
                    RefusalCode.MAPPING_FAILED,
                    f"thread {tid} of process {pid} did not stop within {_PATIENCE_S:g} s; "
                    "it waits inside the kernel (state D, or for a vfork child)",
                    str(pid),
                )
            )
        time.sleep(0.00005)
    why, number = stopped
    if why is ptrace.Stop.GONE:
        raise ProcessGone(f"process {pid} ended")
    return number if why is ptrace.Stop.SIGNAL else 0


def _suspend_seccomp(pid: int, tid: int) -> None:
    """A strict filter would kill the thread for our mmap; without the means to suspend it we
    leave the process alone."""
    try:
        filtered = "Seccomp:\t0" not in Path(f"/proc/{pid}/task/{tid}/status").read_text()
    except OSError:
        raise ProcessGone(f"process {pid} ended") from None
    if not filtered:
        return
    try:
        ptrace.set_options(tid, ptrace.OPTION_SUSPEND_SECCOMP)
    except OSError as error:
        raise Refused(
            Refusal(
                RefusalCode.MAPPING_FAILED,
                f"process {pid} has a seccomp filter that cannot be suspended "
                f"({error.strerror}); it needs CAP_SYS_ADMIN",
                str(pid),
            )
        ) from None


def _call(pid: int, tid: int, site: SyscallSite, number: int, *arguments: int) -> int:
    """The result register of one system call made by the stopped thread ``tid``."""
    registers = ptrace.get_registers(tid)
    registers.orig_rax = _MINUS_ONE
    registers.rax = number
    registers.rip = site.address
    names = ("rdi", "rsi", "rdx", "r10", "r8", "r9")
    for name, value in zip(names, (*arguments, _MINUS_ONE, 0)[:6], strict=True):
        setattr(registers, name, value)
    ptrace.set_registers(tid, registers)
    after = site.address + len(_SYSCALL)
    pending: list[int] = []
    try:
        for _ in range(64):
            ptrace.single_step(tid)
            stopped = ptrace.wait(tid, block=True)
            assert stopped is not None
            why, signal_number = stopped
            if why is ptrace.Stop.GONE:
                raise ProcessGone(f"thread {tid} ended")
            if why is ptrace.Stop.SIGNAL:
                # It arrived before our instruction ran; it is sent again when we are done.
                pending.append(signal_number)
                continue
            registers = ptrace.get_registers(tid)
            if registers.rip == after:
                return int(registers.rax)
        raise ProcessGone(f"thread {tid} does not run")
    finally:
        for signal_number in pending:
            with ptrace.no_such_process_is_fine():
                ptrace.tgkill(pid, tid, signal_number)
