"""One system call by a borrowed thread, in Python: for where the C extension could not be built.

Same steps as ``_borrow.h``. One promise it cannot keep: killed with SIGKILL between giving a
thread foreign registers and giving its own back, it leaves them, and the target dies.
"""

from __future__ import annotations

import array
import errno
import os
import time

from hotmend.surgery import procfs, ptrace
from hotmend.surgery.errors import ProcessGone
from hotmend.surgery.loan import A_FUNCTION, Arguments, Loan, Who

_OPTIONS = ptrace.OPTION_TRACE_SYSCALL_GOOD | ptrace.OPTION_SUSPEND_SECCOMP
_MINUS_ONE = (1 << 64) - 1
_ARGUMENTS = ("rdi", "rsi", "rdx", "r10", "r8", "r9")
_PAUSE_S = 0.00005


class _Ended(Exception):
    """The thread did, or did not stop in time."""


def call(
    who: Who,
    tids: bytes,
    filtered: bool,
    patience_ns: int,
    site: int,
    home: int,
    stacks: bytes,
    number: int,
    arguments: Arguments,
) -> tuple[int, int, int]:
    """(Loan, result register, errno). ``who``: a thread that is not, or not any more, of that
    process is let go untouched. ``tids``: native 32-bit numbers, the best first;
    ``filtered``: some thread has a seccomp filter; ``site``: address of a ``syscall`` instruction;
    ``home``, ``stacks``: the way home of ``_borrow.h``, which is not paved here.
    """
    if number == A_FUNCTION:
        return Loan.NO_THREAD, 0, 0  # without a way home nobody calls a function
    candidates = array.array("i", tids)
    patience_s = patience_ns / 1e9

    def borrow() -> tuple[int, int, int]:
        ending, error = Loan.ENDED, 0
        for tid in candidates:
            try:
                ptrace.seize(tid)
                if not _is_of(who, tid):
                    continue  # it is released when we end
                ptrace.interrupt(tid)
                _rest(tid, time.monotonic() + patience_s)
                if not _has_syscall(tid, site):
                    return Loan.ENDED, 0, 0  # it called exec; it is released when we end
                return _lend(tid, filtered, site, number, arguments)
            except PermissionError:
                ending, error = Loan.REFUSED_TRACE, errno.EPERM
            except ProcessLookupError:
                continue
            except _Ended:
                if ptrace.look(tid) is None:
                    ending = Loan.NO_THREAD
        return ending, 0, error

    return ptrace.apart(borrow)


def _is_of(who: Who, tid: int) -> bool:
    """While it is held, neither its number nor its process's can come to mean another."""
    pid, start_time = who
    try:
        return procfs.identify(pid).start_time == start_time and tid in procfs.tids(pid)
    except (ProcessGone, OSError):
        return False


def _has_syscall(tid: int, site: int) -> bool:
    try:
        memory = os.open(f"/proc/{tid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(memory, 2, site) == b"\x0f\x05"
        finally:
            os.close(memory)
    except OSError:
        return False


def _lend(
    tid: int, filtered: bool, site: int, number: int, arguments: tuple[int, ...]
) -> tuple[int, int, int]:
    try:
        try:
            ptrace.set_options(tid, _OPTIONS)
        except ProcessLookupError:
            raise
        except OSError as error:
            if filtered:
                return Loan.REFUSED_SECCOMP, 0, error.errno or errno.EPERM
            ptrace.set_options(tid, ptrace.OPTION_TRACE_SYSCALL_GOOD)
        return Loan.CALLED, _call(tid, site, number, arguments), 0
    finally:
        with ptrace.no_such_process_is_fine():
            ptrace.detach(tid)


def _call(tid: int, site: int, number: int, arguments: tuple[int, ...]) -> int:
    own = ptrace.get_registers(tid)
    ours = _prepared(own, site, number, arguments)
    stops = 0  # 1: at the entry, 2: at the exit
    ptrace.set_registers(tid, ours)
    while stops < 2:
        ptrace.proceed_to_syscall(tid)
        why, deliver = _next_stop(tid)
        if why is ptrace.Stop.GONE:
            raise _Ended
        if why is ptrace.Stop.SYSCALL:
            stops += 1
        elif why is ptrace.Stop.SIGNAL:  # it came before the instruction did
            ptrace.set_registers(tid, own)
            _interrupt_again(tid, deliver)
            own = ptrace.get_registers(tid)
            ptrace.set_registers(tid, _prepared(own, site, number, arguments))
    result = int(ptrace.get_registers(tid).rax)
    ptrace.set_registers(tid, own)
    # From an exit stop the kernel would restart nothing; from this one it does.
    _interrupt_again(tid, 0)
    return result


def _prepared(
    own: ptrace.Registers, site: int, number: int, arguments: tuple[int, ...]
) -> ptrace.Registers:
    ours = own.copy()
    ours.rip, ours.rax, ours.orig_rax = site, number, _MINUS_ONE
    for name, value in zip(_ARGUMENTS, arguments, strict=True):
        setattr(ours, name, value)
    return ours


def _interrupt_again(tid: int, deliver: int) -> None:
    ptrace.interrupt(tid)
    ptrace.proceed(tid, deliver)
    _rest(tid, None)


def _next_stop(tid: int) -> tuple[ptrace.Stop, int]:
    """Asked again and again: a wait is not woken when another thread's exec ends this one."""
    while (news := ptrace.look(tid)) is None:
        time.sleep(_PAUSE_S)
    return news


def _rest(tid: int, deadline: float | None) -> None:
    """Until the thread is in a stop that is no signal's delivery; signals are let through."""
    while True:
        news = ptrace.look(tid)
        if news is None:
            if deadline is not None and time.monotonic() > deadline:
                raise _Ended
            time.sleep(_PAUSE_S)
            continue
        why, deliver = news
        if why is ptrace.Stop.GONE:
            raise _Ended
        if why is not ptrace.Stop.SIGNAL:
            return
        ptrace.proceed(tid, deliver)
