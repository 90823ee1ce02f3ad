"""New processes of an old build, soon after they start.

The kernel tells of every exec through the process connector (netlink, needs CAP_NET_ADMIN in the
first namespaces); where it does not, /proc is scanned. A process that has just called exec has not
mapped its libraries yet, so it is looked at again, at growing distances; and libraries that are
loaded late are found by scanning now and then.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from hotmend.surgery.procfs import pids

_NETLINK_CONNECTOR = 11
_CN_PROC = (1, 1)  # idx, val
_LISTEN = 1
_EXEC, _EXIT = 0x2, 0x80000000
_HEADER = struct.Struct("=IHHII")  # nlmsghdr
_MESSAGE = struct.Struct("=IIIIHH")  # cn_msg
_EVENT = struct.Struct("=IIQ")  # what, cpu, timestamp
_TASK = struct.Struct("=II")  # tid, pid
_LOOK_AGAIN_S = (0.01, 0.05, 0.2, 0.5, 1.0, 3.0)
_SCAN_S = 10.0


class Source(Protocol):
    """Tells of processes."""

    def within(self, seconds: float) -> list[int]:
        """Those that there is news of; waits so long at most."""


class ProcessConnector:
    """Exec events from the kernel. Raises OSError where they cannot be had."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_CONNECTOR)
        try:
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
        """The pids that called exec until then; returns at the first."""
        return list(executed(self.received(seconds)))

    def received(self, seconds: float) -> bytes:
        """A datagram of events, b"" for none."""
        if not select.select([self._socket], [], [], max(0.0, seconds))[0]:
            return b""
        try:
            return self._socket.recv(65536)
        except OSError:  # ENOBUFS: some events were lost; the next scan finds what they told of
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
    return (_TASK.unpack_from(data, at)[1] for what, at in _events(data) if what == _EXEC)


def ended(data: bytes) -> Iterator[tuple[int, bool, int]]:
    """(pid, whether it is the process's first thread, wait status) of the exit events in a
    datagram; every thread has its own."""
    for what, at in _events(data):
        if what == _EXIT and at + _TASK.size + 4 <= len(data):
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
        return ProcessConnector()
    except OSError:
        return Scan()


def watch(
    source: Source,
    attempt: Callable[[int], bool],
    everything: Callable[[], object],
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[None]:
    """For ever: ``attempt`` each process that called exec, again and again until it says that
    there is an answer; ``everything`` at the beginning and now and then. Yields after each turn."""
    due: list[tuple[float, int, int]] = []
    next_scan = clock()
    while True:
        if clock() >= next_scan:
            everything()
            next_scan = clock() + _SCAN_S
        nearest = min((when for when, _, _ in due), default=next_scan)
        for pid in source.within(min(nearest, next_scan) - clock()):
            due.append((clock() + _LOOK_AGAIN_S[0], 0, pid))
        now = clock()
        ready = [item for item in due if item[0] <= now]
        due = [item for item in due if item[0] > now]
        for _, looks, pid in ready:
            if not attempt(pid) and looks + 1 < len(_LOOK_AGAIN_S):
                due.append((now + _LOOK_AGAIN_S[looks + 1], looks + 1, pid))
        yield
