"""New processes of an old build, soon after they start.

The kernel tells of every exec through the process connector (netlink, needs CAP_NET_ADMIN in the
first namespaces); where it does not, /proc is scanned. A process that has just called exec has not
mapped its libraries yet, so it is looked at again, at growing distances; and libraries that are
loaded late are found by scanning now and then.
"""

from __future__ import annotations

import ctypes
import os
import select
import socket
import struct
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Protocol

from hotmend.surgery.procfs import pids

_NETLINK_CONNECTOR = 11
_CN_PROC = (1, 1)  # idx, val
_LISTEN = 1
EXEC, EXIT = 0x2, 0x80000000
# Events that wait while we are at work; a build may start thousands of processes a second.
_WAITING_BYTES = 8 << 20
_SO_ATTACH_FILTER, _SO_RCVBUFFORCE = 26, 33
_LOAD_WORD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_STEP = struct.Struct("=HBBI")  # sock_filter
_PROGRAM = struct.Struct("@HP")  # sock_fprog
_HEADER = struct.Struct("=IHHII")  # nlmsghdr
_MESSAGE = struct.Struct("=IIIIHH")  # cn_msg
_EVENT = struct.Struct("=IIQ")  # what, cpu, timestamp
_TASK = struct.Struct("=II")  # tid, pid
_LOOK_AGAIN_S = (0.01, 0.05, 0.2, 0.5, 1.0, 3.0)
_SCAN_S = 10.0
_MOST_AT_ONCE = 256


class Source(Protocol):
    """Tells of processes."""

    def within(self, seconds: float) -> list[int]:
        """Those that there is news of; waits so long at most."""


class ProcessConnector:
    """Events of one kind from the kernel: EXEC or EXIT. Raises OSError where they cannot be had.
    ``lost``: since it was last set to False, events came faster than they were read."""

    def __init__(self, what: int) -> None:
        self.lost = False
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_CONNECTOR)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _WAITING_BYTES)
            _only(self._socket, what)
            self._socket.bind((0, _CN_PROC[0]))
            operation = struct.pack("=I", _LISTEN)
            message = _MESSAGE.pack(*_CN_PROC, 0, 0, len(operation), 0) + operation
            header = _HEADER.pack(_HEADER.size + len(message), 3, 0, 0, os.getpid())
            self._socket.send(header + message)
        except OSError:
            self._socket.close()
            raise

    def close(self) -> None:
        self._socket.close()

    def within(self, seconds: float) -> list[int]:
        """The pids that called exec until then; returns at the first, with all that wait. Every
        process where events were lost."""
        found: list[int] = []
        data = self.received(seconds)
        while data and len(found) < _MOST_AT_ONCE:
            found += executed(data)
            data = self.received(0)
        if self.lost:
            self.lost = False
            found = list(pids())
        return found

    def received(self, seconds: float) -> bytes:
        """A datagram of events, b"" for none."""
        if not select.select([self._socket], [], [], max(0.0, seconds))[0]:
            return b""
        try:
            return self._socket.recv(65536)
        except OSError:  # ENOBUFS
            self.lost = True
            return b""


class Scan:
    """The same by looking at /proc, for where the connector is not to be had."""

    def __init__(self, every_s: float = 0.25) -> None:
        self._every_s = every_s
        self._known = set(pids())

    def close(self) -> None:
        self._known.clear()

    def within(self, seconds: float) -> list[int]:
        """The pids that are new since the last look."""
        time.sleep(max(0.0, min(seconds, self._every_s)))
        now = set(pids())
        new, self._known = now - self._known, now
        return sorted(new)


def executed(data: bytes) -> Iterator[int]:
    """The pids of the exec events in a datagram."""
    return (_TASK.unpack_from(data, at)[1] for what, at in _events(data) if what == EXEC)


def ended(data: bytes) -> Iterator[tuple[int, bool, int]]:
    """(pid, whether it is the process's first thread, wait status) of the exit events in a
    datagram; every thread has its own."""
    for what, at in _events(data):
        if what == EXIT and at + _TASK.size + 4 <= len(data):
            tid, pid = _TASK.unpack_from(data, at)
            yield pid, tid == pid, int.from_bytes(data[at + _TASK.size :][:4], "little")


def _events(data: bytes) -> Iterator[tuple[int, int]]:
    """(what, where the word on its task begins) of each event in a datagram."""
    at = 0
    while at + _HEADER.size + _MESSAGE.size + _EVENT.size + _TASK.size <= len(data):
        size = _HEADER.unpack_from(data, at)[0]
        event = at + _HEADER.size + _MESSAGE.size
        yield _EVENT.unpack_from(data, event)[0], event + _EVENT.size
        if size < _HEADER.size:
            return
        at += (size + 3) & ~3


def events() -> ProcessConnector | Scan:
    """The best there is."""
    try:
        return ProcessConnector(EXEC)
    except OSError:
        return Scan()


def _only(connector: socket.socket, what: int) -> None:
    """Have the kernel drop other events (classic BPF; it loads in network order): most are forks
    and ends of threads."""
    at = _HEADER.size + _MESSAGE.size
    wanted = socket.htonl(what)
    steps = [(_LOAD_WORD, 0, 0, at), (_JUMP_EQUAL, 0, 1, wanted), (_RETURN, 0, 0, 0xFFFFFFFF)]
    code = b"".join(_STEP.pack(*step) for step in [*steps, (_RETURN, 0, 0, 0)])
    kept = ctypes.create_string_buffer(code)
    program = _PROGRAM.pack(len(steps) + 1, ctypes.addressof(kept))
    connector.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def watch(
    source: Source,
    attempt: Callable[[Sequence[int]], Collection[int]],
    everything: Callable[[], object],
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[None]:
    """For ever: ``attempt`` the processes that called exec, again and again until it returns that
    there is an answer for them; ``everything`` at the beginning and now and then. Yields after each
    turn. All that are due are attempted at once: where many start, this does not fall behind."""
    due: dict[int, tuple[float, int]] = {}  # pid: when, and how often it was looked at
    next_scan = clock()
    while True:
        if clock() >= next_scan:
            everything()
            next_scan = clock() + _SCAN_S
        nearest = min((when for when, _ in due.values()), default=next_scan)
        for pid in source.within(min(nearest, next_scan) - clock()):
            due[pid] = clock() + _LOOK_AGAIN_S[0], 0
        now = clock()
        ready = [pid for pid, (when, _) in due.items() if when <= now][:_MOST_AT_ONCE]
        answered = attempt(ready) if ready else ()
        for pid in ready:
            looks = due.pop(pid)[1] + 1
            if pid not in answered and looks < len(_LOOK_AGAIN_S):
                due[pid] = now + _LOOK_AGAIN_S[looks], looks
        yield
