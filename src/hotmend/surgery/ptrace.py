"""ptrace(2) and its kin through ctypes: one function for each request, errors as OSError.

Every call about a thread must come from the operating-system thread that seized it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

_CONT = 7
_SINGLESTEP = 9
_GETREGS = 12
_SETREGS = 13
_DETACH = 17
_SETOPTIONS = 0x4200
_SEIZE = 0x4206
_INTERRUPT = 0x4207
OPTION_SUSPEND_SECCOMP = 1 << 21
_EVENT_STOP = 128
_WALL = 0x40000000
_SYS_TGKILL = 234

_NAMES = [
    "r15",
    "r14",
    "r13",
    "r12",
    "rbp",
    "rbx",
    "r11",
    "r10",
    "r9",
    "r8",
    "rax",
    "rcx",
    "rdx",
    "rsi",
    "rdi",
    "orig_rax",
    "rip",
    "cs",
    "eflags",
    "rsp",
    "ss",
    "fs_base",
    "gs_base",
    "ds",
    "es",
    "fs",
    "gs",
]


class Registers(ctypes.Structure):
    """struct user_regs_struct of x86-64."""

    _fields_ = [(name, ctypes.c_ulonglong) for name in _NAMES]

    def copy(self) -> Registers:
        return Registers.from_buffer_copy(self)


class Stop(Enum):
    """Why a traced thread stopped, or that it did not."""

    TRAP = "trap"  # our interrupt, a single step
    GROUP = "group"  # the whole process is stopped by a signal
    SIGNAL = "signal"  # a signal is about to be delivered
    GONE = "gone"


def _request(request: int, tid: int, address: int = 0, data: int = 0) -> None:
    if _libc.ptrace(request, tid, address, data) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def seize(tid: int) -> None:
    _request(_SEIZE, tid)


def interrupt(tid: int) -> None:
    _request(_INTERRUPT, tid)


def set_options(tid: int, options: int) -> None:
    _request(_SETOPTIONS, tid, 0, options)


def proceed(tid: int, deliver: int = 0) -> None:
    _request(_CONT, tid, 0, deliver)


def single_step(tid: int, deliver: int = 0) -> None:
    _request(_SINGLESTEP, tid, 0, deliver)


def detach(tid: int, deliver: int = 0) -> None:
    _request(_DETACH, tid, 0, deliver)


def tgkill(pid: int, tid: int, number: int) -> None:
    """Send a signal to one thread."""
    if _libc.syscall(_SYS_TGKILL, pid, tid, number) == -1:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def get_registers(tid: int) -> Registers:
    registers = Registers()
    _request(_GETREGS, tid, 0, ctypes.addressof(registers))
    return registers


def set_registers(tid: int, registers: Registers) -> None:
    _request(_SETREGS, tid, 0, ctypes.addressof(registers))


def wait(tid: int, *, block: bool) -> tuple[Stop, int] | None:
    """(why, signal number) of the next stop of ``tid``; None when it has not stopped yet."""
    try:
        pid, status = os.waitpid(tid, _WALL | (0 if block else os.WNOHANG))
    except ChildProcessError:
        return Stop.GONE, 0
    if pid == 0:
        return None
    if not os.WIFSTOPPED(status):
        return Stop.GONE, 0
    number = os.WSTOPSIG(status)
    if status >> 16 == _EVENT_STOP:
        stopping = (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
        return (Stop.GROUP if number in stopping else Stop.TRAP), number
    return (Stop.TRAP if number == signal.SIGTRAP else Stop.SIGNAL), number


@contextmanager
def no_such_process_is_fine() -> Iterator[None]:
    """A thread that ended meanwhile needs nothing more."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ESRCH:
            raise
