"""ptrace(2) and its kin through ctypes: one function for each request, errors as OSError.

Only the operating-system thread that seized a thread may ask anything about it, and when it ends
the kernel lets go of whatever it still holds, even of a thread that cannot be stopped: so all of
it happens on a thread of its own, ``apart``.
"""

from __future__ import annotations

import ctypes
import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

_CONT = 7
_GETREGS = 12
_SETREGS = 13
_DETACH = 17
_SYSCALL = 24
_SETOPTIONS = 0x4200
_SEIZE = 0x4206
_INTERRUPT = 0x4207
OPTION_TRACE_SYSCALL_GOOD = 1
OPTION_SUSPEND_SECCOMP = 1 << 21
_WALL = 0x40000000
_WNOTHREAD = 0x20000000
"""Only what this thread holds: when another thread of a target has called exec, its pid may mean a
child of our process's, and that is no news of ours."""
_STOPPING = frozenset({19, 20, 21, 22})  # SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU
_SYSCALL_STOP = 5 | 0x80
_END_S = 1.0

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
    """Why a traced thread stopped, or that it ended."""

    TRAP = "trap"  # our interrupt
    GROUP = "group"  # the whole process is stopped by a signal
    SIGNAL = "signal"  # a signal is about to be delivered
    SYSCALL = "syscall"  # at the entry or the exit of a system call
    GONE = "gone"


def apart(work: Callable[[], Result]) -> Result:
    """The result of ``work``, or its exception, done by a thread that ends afterwards."""
    done: list[Result] = []
    failed: list[BaseException] = []

    def run() -> None:
        with suppress(OSError):  # as far as we are allowed to: a hundred busy threads wait for us
            os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
        try:
            done.append(work())
        except BaseException as error:
            failed.append(error)

    tracer = threading.Thread(target=run, name="tracer")
    tracer.start()
    tracer.join()
    # That returns before the thread has ended, and only then the kernel lets go.
    deadline = time.monotonic() + _END_S
    while Path(f"/proc/self/task/{tracer.native_id}").exists() and time.monotonic() < deadline:
        time.sleep(0.0001)
    if failed:
        raise failed[0]
    return done[0]


def seize(tid: int) -> None:
    _request(_SEIZE, tid)


def interrupt(tid: int) -> None:
    _request(_INTERRUPT, tid)


def set_options(tid: int, options: int) -> None:
    _request(_SETOPTIONS, tid, 0, options)


def proceed(tid: int, deliver: int = 0) -> None:
    _request(_CONT, tid, 0, deliver)


def proceed_to_syscall(tid: int) -> None:
    """Until the entry of a system call, or its exit."""
    _request(_SYSCALL, tid)


def detach(tid: int, deliver: int = 0) -> None:
    _request(_DETACH, tid, 0, deliver)


def get_registers(tid: int) -> Registers:
    registers = Registers()
    _request(_GETREGS, tid, 0, ctypes.addressof(registers))
    return registers


def set_registers(tid: int, registers: Registers) -> None:
    _request(_SETREGS, tid, 0, ctypes.addressof(registers))


def look(tid: int) -> tuple[Stop, int] | None:
    """(why, signal number) of the stop that ``tid`` is in; None when it is in none.

    The news is not consumed: should we be killed, a signal that the thread was about to receive
    is still delivered.
    """
    how = os.WSTOPPED | os.WEXITED | os.WNOWAIT | os.WNOHANG | _WALL | _WNOTHREAD
    try:
        news = os.waitid(os.P_PID, tid, how)
    except ChildProcessError:
        return Stop.GONE, 0
    if news is None or news.si_pid == 0:
        return None
    if news.si_code not in (os.CLD_TRAPPED, os.CLD_STOPPED):
        return Stop.GONE, 0
    status = news.si_status
    number = status & 0x7F
    if status == _SYSCALL_STOP:
        return Stop.SYSCALL, 0
    if status < 0x80:
        return Stop.SIGNAL, number
    return (Stop.GROUP if number in _STOPPING else Stop.TRAP), 0


@contextmanager
def no_such_process_is_fine() -> Iterator[None]:
    """A thread that ended meanwhile needs nothing more."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ESRCH:
            raise


def _request(request: int, tid: int, address: int = 0, data: int = 0) -> None:
    if _libc.ptrace(request, tid, address, data) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
