"""What a process that runs old files needs until it does not. Pure.

A package on the disk changes nothing in what runs. Most processes can be started again by
themselves; a few only together with the machine.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from hotmend.model.agent_messages import Needs, StaleProcess
from hotmend.surgery.order import Stale

# Their restart takes every session, or every service, with it.
_ONLY_WITH_THE_MACHINE = frozenset({"dbus-daemon", "dbus-broker", "systemd-logind"})
_INIT = 1
_SHOWN = 5


def judged(
    processes: Iterable[Stale], replaced: Mapping[int, Collection[str]]
) -> tuple[StaleProcess, ...]:
    """``replaced``: by pid, the files whose old code a hotpatch has replaced in memory."""
    found = []
    for one in processes:
        covered = replaced.get(one.pid, ())
        if all(file in covered for file in one.files):
            needs = Needs.NOTHING
        elif one.pid == _INIT or one.command in _ONLY_WITH_THE_MACHINE:
            needs = Needs.REBOOT
        else:
            needs = Needs.RESTART
        found.append(StaleProcess(one.pid, one.command, one.files, needs))
    return tuple(found)


def of_files(stale: Iterable[StaleProcess], files: Collection[str]) -> list[StaleProcess]:
    """Those that run an old one of ``files`` and need something."""
    return [
        one
        for one in stale
        if one.needs is not Needs.NOTHING and any(file in files for file in one.files)
    ]


def sentence(stale: Sequence[StaleProcess]) -> str:
    """What is left to do after a package came onto the disk."""
    if not stale:
        return "no process runs the old code any more"
    parts = []
    for needs, what in ((Needs.RESTART, "are restarted"), (Needs.REBOOT, "the machine restarts")):
        meant = [one for one in stale if one.needs is needs]
        if meant:
            names = ", ".join(f"{one.command} {one.pid}" for one in meant[:_SHOWN])
            more = f" and {len(meant) - _SHOWN} more" if len(meant) > _SHOWN else ""
            parts.append(f"{names}{more} run the old code until {what.replace('are', 'they are')}")
    return "no service was restarted: " + "; ".join(parts)
