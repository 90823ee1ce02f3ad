"""Agents of many machines in one process that may be killed at any time: all that a machine knows
is on its disk, a file of lines, and what it has begun it ends when the process is started again.

    python rack.py        and a JSON object on stdin: Task, below

There is nothing behind these machines but that file. They speak the agents' wire, each with its own
certificate, to whichever server answers.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from asyncio.sslproto import SSLProtocol
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hotmend.agent.errors import LinkError, RefusedByServer
from hotmend.agent.identity import new_request
from hotmend.model.agent_messages import (
    Enrol,
    Enrolled,
    Facts,
    Health,
    Installation,
    InstallationState,
    PatchResult,
    Poll,
    Polled,
    RebootStatus,
    Report,
    Reported,
    Run,
    RunKind,
    RunStatus,
)
from hotmend.simulation.link import Link, context

_AT_ONCE = 16
_LONGEST_BACK_OFF_S = 2.0
_PATCH = PatchResult("rack-lib=2", "rack-lib 2", "2", "Security", InstallationState.INSTALLED)


@dataclass(frozen=True)
class Task:
    """``machines``: name to one-time code; ``poll_s``: how long a poll waits at most, after which a
    machine says how it is. ``forgets``: what is on the disk is not read, which no agent may."""

    servers: list[str]
    authority: str
    disk: str
    machines: dict[str, str]
    poll_s: float
    install_s: float
    forgets: bool = False


@dataclass
class Machine:
    """``identity``: key and certificate, PEM; ``applied``: order to when; ``said``: orders of which
    the end has arrived."""

    name: str
    identity: str = ""
    applied: dict[str, float] = field(default_factory=dict)
    said: dict[str, None] = field(default_factory=dict)


class Disk:
    """A line is there whole or not at all; what was written outlives the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        self.lines = [json.loads(line) for line in lines if line.endswith("\n")]
        self._file = path.open("ab", buffering=0)
        if lines and not lines[-1].endswith("\n"):
            self._file.truncate(sum(len(line.encode()) for line in lines[:-1]))

    def write(self, machine: str, what: str, **more: Any) -> None:
        line = json.dumps({"machine": machine, "what": what, "time": time.time(), **more})
        self._file.write(line.encode() + b"\n")


class Rack:
    def __init__(self, task: Task) -> None:
        self._task = task
        self._gate, self._enrolling = asyncio.Semaphore(_AT_ONCE), asyncio.Semaphore(_AT_ONCE)
        self._disk = Disk(Path(task.disk))
        self._machines = {name: Machine(name) for name in task.machines}
        for line in self._disk.lines:
            machine = self._machines[line["machine"]]
            if line["what"] == "enrolled":
                machine.identity = line["identity"]
            elif line["what"] == "applied" and not task.forgets:
                machine.applied[line["order"]] = line["time"]
            elif line["what"] == "said":
                machine.said[line["order"]] = None

    async def run(self) -> None:
        """For ever."""
        SSLProtocol.max_size = 16 << 10
        async with asyncio.TaskGroup() as group:
            for machine in self._machines.values():
                group.create_task(self._live(machine))

    async def _live(self, machine: Machine) -> None:
        if not machine.identity:
            async with self._enrolling:
                await self._enrol(machine)
        await self._hear(machine, _Wire(self._task, machine, self._gate))

    async def _enrol(self, machine: Machine) -> None:
        key, request = new_request(machine.name)
        facts = Facts(machine.name, "debian", "12", "simulated", "rack", time.time())
        message = Enrol(self._task.machines[machine.name], request.decode(), facts, simulated=True)
        wire = _Wire(self._task, machine, self._gate)
        enrolled = await wire.ask("enrol", message, Enrolled)
        wire.close()
        machine.identity = key.decode() + enrolled.certificate
        self._disk.write(machine.name, "enrolled", identity=machine.identity)

    async def _hear(self, machine: Machine, wire: _Wire) -> None:
        while True:
            # What begins together, or waits for one server, must not be silent together.
            wait_s = random.uniform(0, self._task.poll_s)
            poll = Poll(wait_s, tuple(machine.said)[-200:])
            polled = await wire.ask("orders", poll, Polled, wait_s)
            for order in polled.orders:
                await self._carry_out(machine, wire, order.id)
            await wire.report(None)

    async def _carry_out(self, machine: Machine, wire: _Wire, order: str) -> None:
        self._disk.write(machine.name, "given", order=order)
        began = time.time()
        if order not in machine.applied:
            await self._pause()
            machine.applied[order] = time.time()
            self._disk.write(machine.name, "applied", order=order)
        await self._pause()
        installed = Installation((_PATCH,), RebootStatus.NOT_NEEDED)
        status, now = RunStatus.SUCCEEDED, time.time()
        await wire.report(Run(order, RunKind.INSTALL, began, status, now, installation=installed))
        machine.said[order] = None
        self._disk.write(machine.name, "said", order=order)

    async def _pause(self) -> None:
        await asyncio.sleep(self._task.install_s * random.uniform(0.25, 0.75))


class _Wire:
    """Asks until somebody answers, the next server each time. ``gate``: of those that connect, few
    at once do, so that the first are through before the last begin."""

    def __init__(self, task: Task, machine: Machine, gate: asyncio.Semaphore) -> None:
        self._task = task
        self._at = random.randrange(len(task.servers))
        self._gate = gate
        self._tls = context(task.authority, machine.identity.encode())
        self._link: Link | None = None

    async def ask(self, what: str, message: Any, kind: type[Any], wait_s: float = 0.0) -> Any:
        back_off = 0.1
        while True:
            try:
                if self._link is None:
                    self._link = await self._new()
                return await self._link.ask(what, message, kind, wait_s)
            except (LinkError, RefusedByServer):
                self.close()
                self._at += 1
                await asyncio.sleep(random.uniform(0, back_off))
                back_off = min(back_off * 2, _LONGEST_BACK_OFF_S)

    async def report(self, run: Run | None) -> None:
        """Until it has arrived; of two that cross each other the older is refused, and said again
        with a newer number."""
        while True:
            now = time.time()
            report = Report(int(now * 1e6), now, None, run, Health(now, verified=now))
            answer: Reported = await self.ask("reports", report, Reported)
            if answer.accepted or run is None or "ended" in answer.because:
                return

    def close(self) -> None:
        if self._link is not None:
            self._link.close()
        self._link = None

    async def _new(self) -> Link:
        address = urlsplit(self._task.servers[self._at % len(self._task.servers)])
        link = Link(address.hostname or "", address.port or 443, self._tls)
        async with self._gate:
            await link.open()
        return link


if __name__ == "__main__":
    os.nice(10)  # it stands for machines elsewhere, which take nothing from the servers
    asyncio.run(Rack(Task(**json.loads(sys.stdin.readline()))).run())
