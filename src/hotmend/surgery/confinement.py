"""What a process gives up for good: capabilities, the network, system calls.

Capabilities and seccomp filters are taken directly from the kernel (capabilities(7), seccomp(2)):
a surgeon has as few libraries as can be.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterable
from enum import IntEnum

_libc = ctypes.CDLL(None, use_errno=True)

_PR_CAPBSET_DROP = 24
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_CAPABILITY_VERSION_3 = 0x20080522
_CLONE_NEWNET = 0x40000000
_SECCOMP_MODE_FILTER = 2
_AUDIT_ARCH_X86_64 = 0xC000003E
_X32 = 0x40000000
# BPF: load a word of struct seccomp_data; jump if equal; jump if greater or equal; return.
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000


class Capability(IntEnum):
    """Of capabilities(7), those that somebody here keeps."""

    DAC_OVERRIDE = 1
    SYS_PTRACE = 19
    SYS_ADMIN = 21
    SYS_NICE = 23


# From the kernel's table for x86-64 (arch/x86/entry/syscalls/syscall_64.tbl).
NETWORK = {"socket": 41, "socketpair": 53, "connect": 42, "bind": 49, "listen": 50, "accept": 43}
NETWORK |= {"accept4": 288, "io_uring_setup": 425}
PROGRAMS = {"execve": 59, "execveat": 322}
TRACING = {"ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "io_uring_setup": 425}


def leave_network() -> None:
    """Into a network namespace of one's own, with nothing in it; where that is allowed."""
    _libc.unshare(_CLONE_NEWNET)


def keep_only(capabilities: Iterable[Capability]) -> None:
    """Drop every other capability from every set; nothing brings them back, no program either."""
    kept = sum(1 << capability for capability in capabilities)
    _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    for number in range(64):
        if not kept >> number & 1:
            _libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
    header = struct.pack("<Ii", _CAPABILITY_VERSION_3, 0)
    current = ctypes.create_string_buffer(24)
    _check(_libc.capget(header, current))
    low_effective, low_permitted, _, high_effective, high_permitted, _ = struct.unpack(
        "<6I", current.raw
    )
    permitted = (low_permitted | high_permitted << 32) & kept
    effective = (low_effective | high_effective << 32) & kept
    sets = struct.pack(
        "<6I",
        *(effective & 0xFFFFFFFF, permitted & 0xFFFFFFFF, 0),
        *(effective >> 32, permitted >> 32, 0),
    )
    _check(_libc.capset(header, sets))
    no_new_privileges()


def no_new_privileges() -> None:
    """No set-user-id program gives rights any more."""
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def refuse(calls: Iterable[int]) -> None:
    """From now on these system calls fail with EPERM, here and in every child. A call of another
    architecture ends the process."""
    numbers = sorted(set(calls))
    program = [
        (_LOAD, 0, 0, 4),
        (_IF_EQUAL, 1, 0, _AUDIT_ARCH_X86_64),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),
        (_IF_AT_LEAST, len(numbers) + 1, 0, _X32),
        *((_IF_EQUAL, len(numbers) - at, 0, number) for at, number in enumerate(numbers)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERRNO | errno.EPERM),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *line) for line in program))
    descriptor = struct.pack("<H6xQ", len(program), ctypes.addressof(code))
    no_new_privileges()
    _check(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, descriptor, 0, 0))


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
