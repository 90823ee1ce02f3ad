"""How the patched processes of this machine ended: seen as it happens, or missed later.

The kernel tells of every exit through the process connector; a process that is gone without it
(the connector is not to be had, events were lost, the agent was down) ended *unknown*.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping

from hotmend.model.agent_messages import Ended, Ending
from hotmend.surgery.process import Identity
from hotmend.surgery.watch import EXIT, ProcessConnector, ended

# By which the kernel, or the C library, ends a process whose code went wrong (signal(7)).
CRASHES = frozenset(
    {
        *(signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE),
        *(signal.SIGSEGV, signal.SIGSYS),
    }
)
KEPT_S = 24 * 3600.0
KEPT = 100
_WAIT_S = 1.0
_REMEMBERED = 4096


def ending(status: int) -> tuple[Ending, int]:
    """(how, signal or exit status) for a wait status."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return (Ending.CRASHED if number in CRASHES else Ending.STOPPED), number
    return Ending.EXITED, os.WEXITSTATUS(status)


def endings(
    gone: Mapping[Identity, str], seen: Mapping[int, tuple[float, int]], now: float
) -> list[Ended]:
    """How those of ``gone`` (command by identity) ended; ``seen``: (time, wait status) by pid,
    for the exits that the kernel told of."""
    found = []
    for identity, command in gone.items():
        if identity.pid in seen:
            when, status = seen[identity.pid]
            found.append(Ended(identity.pid, command, when, *ending(status)))
        else:
            found.append(Ended(identity.pid, command, now, Ending.UNKNOWN))
    return found


def kept(known: Iterable[Ended], now: float) -> tuple[Ended, ...]:
    """The last day's, the newest last, and not without end."""
    recent = sorted((one for one in known if now - one.time < KEPT_S), key=lambda one: one.time)
    return tuple(recent[-KEPT:])


class Exits:
    """Listens for as long as the agent runs. ``connector``: None where there is none."""

    def __init__(
        self, connector: ProcessConnector | None, clock: Callable[[], float] = time.time
    ) -> None:
        self._connector = connector
        self._clock = clock
        self._lock = threading.Lock()
        # The last of each kind by pid: what few crash is not lost among what many end well.
        self._ended: dict[int, tuple[float, int]] = {}
        self._signalled: dict[int, tuple[float, int]] = {}

    def listen(self) -> None:
        """For ever; for a thread of its own."""
        while self._connector is not None:
            self.hear(self._connector.received(_WAIT_S))

    def hear(self, data: bytes) -> None:
        """A datagram. A signal ends every thread of a process, with one status; without one, the
        first thread's status is the process's."""
        with self._lock:
            for pid, first, status in ended(data):
                if first or os.WIFSIGNALED(status):
                    kind = self._signalled if os.WIFSIGNALED(status) else self._ended
                    kind.pop(pid, None)
                    kind[pid] = self._clock(), status
                    if len(kind) > _REMEMBERED:
                        del kind[next(iter(kind))]

    def seen(self) -> dict[int, tuple[float, int]]:
        """(time, wait status) by pid."""
        with self._lock:
            return {**self._ended, **self._signalled}


def connector() -> ProcessConnector | None:
    """None where the kernel gives none."""
    try:
        return ProcessConnector(EXIT)
    except OSError:
        return None
