"""Simulated machines at work: each enrols, waits for orders, carries them out, reports.

They speak as real agents do; only what is behind them is not there. What they know is gone when
the process ends: the next run enrols them again.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from hotmend.agent import allowed
from hotmend.agent.errors import LinkError, RefusedByServer
from hotmend.agent.identity import new_request
from hotmend.model.agent_messages import (
    Enrol,
    Enrolled,
    Order,
    Poll,
    Polled,
    Renew,
    Renewed,
    Report,
    Reported,
    Run,
    RunKind,
    RunStatus,
)
from hotmend.simulation.link import Link, context
from hotmend.simulation.machine import Simulated

POLL_S = 50.0
HEALTH_S = 60.0
_AT_ONCE = 16
_RENEW_AFTER_S = 12 * 3600.0
_ASSESS_EVERY_S = 24 * 3600.0
_LOOK_AGAIN_S = 1.0
_LONGEST_BACK_OFF_S = 60.0
_REMEMBERED = 200
# asyncio keeps a buffer of 256 KiB for each TLS connection, and here are thousands.
_TLS_BUFFER = 16 << 10


@dataclass
class Tally:
    """What all machines together have done."""

    enrolled: int = 0
    orders: int = 0
    reports: int = 0
    troubles: int = 0


@dataclass
class Fleet:
    """``authority``: PEM; ``health_s``: how often each machine says how it is; ``tally`` grows
    while it runs."""

    server: str
    authority: str
    health_s: float = HEALTH_S
    tally: Tally = field(default_factory=Tally)

    async def run(
        self, machines: Sequence[Simulated], codes: Sequence[str], trouble: Callable[[str], None]
    ) -> None:
        """Until it is cancelled. Raises RefusedByServer where a machine may not enrol."""
        SSLProtocol.max_size = _TLS_BUFFER
        gate = asyncio.Semaphore(_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for machine, code in zip(machines, codes, strict=True):
                actor = _Actor(self, machine, trouble)
                group.create_task(actor.live(code, gate))

    def link(self, identity: bytes = b"") -> Link:
        """Of one machine."""
        address = urlsplit(self.server)
        host, port = address.hostname or "", address.port or 443
        return Link(host, port, context(self.authority, identity))


class _Actor:
    """One machine on the wire. Reports wait until they have arrived; orders are done once. None in
    the outbox: nothing but how the machine is, which every report says."""

    def __init__(self, fleet: Fleet, machine: Simulated, trouble: Callable[[str], None]) -> None:
        self._fleet = fleet
        self._machine = machine
        self._trouble = trouble
        self._known: dict[str, None] = {}
        self._outbox: asyncio.Queue[Run | None] = asyncio.Queue()
        self._orders: asyncio.Queue[Order] = asyncio.Queue()
        self._identity = b""
        self._renew_at = 0.0

    async def live(self, code: str, gate: asyncio.Semaphore) -> None:
        async with gate:
            await self._enrol(code)
        async with asyncio.TaskGroup() as group:
            loops = self._hear(), self._work(), self._say(), self._look_daily(), self._feel()
            for work in loops:
                group.create_task(work)

    async def _enrol(self, code: str) -> None:
        name, back_off = self._machine.place.name, 1.0
        key, request = new_request(name)
        message = Enrol(code, request.decode(), self._machine.facts(time.time()), simulated=True)
        while True:
            link = self._fleet.link()
            try:
                enrolled = await link.ask("enrol", message, Enrolled)
                break
            except LinkError as error:
                back_off = await self._wait_after(error, back_off)
            finally:
                link.close()
        self._identity = key + enrolled.certificate.encode()
        self._renew_at = time.time() + _RENEW_AFTER_S
        self._fleet.tally.enrolled += 1

    async def _hear(self) -> None:
        link, back_off = self._fleet.link(self._identity), 1.0
        while True:
            await self._power(link)
            try:
                if time.time() >= self._renew_at:
                    link = await self._renewed(link)
                known = tuple(self._known)[-_REMEMBERED:]
                polled = await self._until_off(
                    link.ask("orders", Poll(POLL_S, known), Polled, POLL_S)
                )
            except (LinkError, RefusedByServer) as error:
                back_off = await self._wait_after(error, back_off)
                continue
            back_off = 1.0
            for order in polled.orders if polled is not None else ():
                if order.id not in self._known:
                    self._known[order.id] = None
                    self._fleet.tally.orders += 1
                    self._orders.put_nowait(order)

    async def _work(self) -> None:
        while True:
            order, began = await self._orders.get(), time.time()
            late = allowed.to_begin(order, began)
            if late is not None:
                failed = Run(order.id, order.kind, began, RunStatus.FAILED, began)
                self._outbox.put_nowait(replace(failed, problem=str(late)))
                continue
            if order.kind is not RunKind.ASSESS:
                self._outbox.put_nowait(Run(order.id, order.kind, began, RunStatus.IN_PROGRESS))
            await asyncio.sleep(self._machine.takes(order))
            self._outbox.put_nowait(self._machine.carry_out(order, began, time.time()))
            if order.kind in (RunKind.INSTALL, RunKind.REVERT):
                self._assess()

    async def _say(self) -> None:
        link, number, facts = None, 0, True
        while True:
            run, back_off = await self._outbox.get(), 1.0
            number += 1
            while True:
                await self._power(link)
                now = time.time()
                known = self._machine.facts(now) if facts else None
                report = Report(number, now, known, run, self._machine.health(now))
                link = link or self._fleet.link(self._identity)
                try:
                    await link.ask("reports", report, Reported)
                    break
                except LinkError as error:
                    back_off = await self._wait_after(error, back_off)
                except RefusedByServer as error:
                    await self._wait_after(error, back_off)
                    break
            self._fleet.tally.reports += 1
            facts = False
            if self._outbox.empty():
                link.close()
                link = None

    async def _look_daily(self) -> None:
        while True:
            self._assess()
            await asyncio.sleep(_ASSESS_EVERY_S)

    async def _feel(self) -> None:
        while True:
            # Not all at once, though all began together.
            await asyncio.sleep(self._fleet.health_s * random.uniform(0.5, 1.0))
            if self._outbox.empty():
                self._outbox.put_nowait(None)

    def _assess(self) -> None:
        self._outbox.put_nowait(self._machine.assess(str(uuid.uuid4()), time.time()))

    async def _renewed(self, link: Link) -> Link:
        key, request = new_request(self._machine.place.name)
        renewed = await link.ask("renew", Renew(request.decode()), Renewed)
        link.close()
        self._identity = key + renewed.certificate.encode()
        self._renew_at = time.time() + _RENEW_AFTER_S
        return self._fleet.link(self._identity)

    async def _power(self, link: Link | None) -> None:
        """While the machine is off, it is not on the network."""
        while not self._machine.powered(time.time()):
            if link is not None:
                link.close()
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def _until_off(self, work: Coroutine[Any, Any, Polled]) -> Polled | None:
        """What ``work`` gives; None when the machine is switched off before."""
        task = asyncio.create_task(work)
        try:
            while not task.done():
                if not self._machine.powered(time.time()):
                    return None
                await asyncio.wait([task], timeout=_LOOK_AGAIN_S)
            return task.result()
        finally:
            task.cancel()

    async def _wait_after(self, error: Exception, back_off: float) -> float:
        """With jitter; the next back-off."""
        self._fleet.tally.troubles += 1
        self._trouble(f"{self._machine.place.name} (simulated): {error}")
        await asyncio.sleep(random.uniform(0, back_off))
        return min(back_off * 2, _LONGEST_BACK_OFF_S)
