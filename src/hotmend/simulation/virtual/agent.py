"""An agent of a virtual machine: it polls, takes orders into its journal, installs, says what came
of it until that has arrived, and says how the machine is while anybody waits for that.

The journal is what survives when the agent dies. It keeps the promises of ``agent.journal``: an
order is known by its id for ever, and a report is sent until it was answered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hotmend.model.agent_messages import (
    Ended,
    Ending,
    Health,
    Order,
    Report,
    Run,
    RunKind,
    RunStatus,
    Selection,
)
from hotmend.simulation.virtual.events import Events
from hotmend.simulation.virtual.fleet import Machine
from hotmend.simulation.virtual.network import DOWN, UP, Network
from hotmend.simulation.virtual.scenario import Faults

_POLL_S = 60.0
_LONGEST_INSTALL_S = 240.0
_LONGEST_AWAY_S = 900.0
_SAYS_EVERY_S = 240.0
_REMEMBERED = 200


class Server(Protocol):
    """The control plane, as agents see it. What it never answers, it may have heard all the
    same."""

    def polled(
        self, machine: str, known: Sequence[str], answer: Callable[[Sequence[Order]], None]
    ) -> None: ...

    def reported(self, machine: str, report: Report, answer: Callable[[int], None]) -> None: ...

    def waits_for(self, machine: str) -> bool:
        """Whether it has an order that has not ended, or that is proving itself."""


class Around(Protocol):
    """The world, as agents see it."""

    events: Events
    network: Network
    faults: Faults

    def chance(self) -> float: ...

    def meant(self, selection: Selection) -> Sequence[str]:
        """Releases that are published and that it chooses, the oldest first."""

    def crashes_after(self, machine: Machine, article: str) -> float | None:
        """Seconds after it was applied at this moment."""

    def awake(self, machine: str, awake: bool) -> None:
        """It is, or is not any more."""

    def begun(self, machine: Machine) -> None: ...

    def applied(self, machine: str, article: str, order: str, boot: int) -> None: ...


@dataclass
class Journal:
    """``orders``: that have not ended; ``begun``: when; ``outbox``: what has not arrived."""

    orders: dict[str, Order] = field(default_factory=dict)
    known: dict[str, None] = field(default_factory=dict)
    begun: dict[str, float] = field(default_factory=dict)
    outbox: deque[Report] = field(default_factory=deque)
    number: int = 0

    def say(self, now: float, run: Run | None = None, health: Health | None = None) -> None:
        """Of its health only what was said last is kept."""
        if health is not None:
            self.outbox = deque(r for r in self.outbox if r.health is None)
        self.number += 1
        self.outbox.append(Report(self.number, now, None, run, health))


class Agent:
    """``on``: its machine is; ``up``: it runs. ``live``: articles in memory, with when they were
    applied. ``life`` grows when it dies: what it was about is gone."""

    def __init__(self, machine: Machine, server: Server, around: Around) -> None:
        self.machine = machine
        self.on, self.up = True, True
        self.life = self._boot = 0
        self.journal = Journal()
        self.live: dict[str, float] = {}
        self._server = server
        self._around = around
        self._events = around.events
        self._polls, self._sends = 0, 0
        self._working, self._beating = False, False
        self._crashes: list[Ended] = []

    @property
    def awake(self) -> bool:
        return self.on and self.up

    def wake(self) -> None:
        """A poll that was held is answered, or a machine is back."""
        if self.awake:
            self._poll()
            self._work()
            self._send()
            self._beat()

    def switch(self, on: bool) -> None:
        """A machine that is switched off forgets what is in its memory."""
        if on and not self.on:
            self.on = True
            self._around.awake(self.machine.id, True)
            self._boot += 1
            if self._server.waits_for(self.machine.id):
                self.wake()
        elif not on and self.on:
            self.on, self.up = False, True  # it starts with the machine
            self._around.awake(self.machine.id, False)
            self._forget()
            self.live.clear()

    # Orders.

    def _poll(self) -> None:
        self._polls += 1
        known = tuple(self.journal.known)[-_REMEMBERED:]
        self._up(self._server.polled, self.machine.id, known, self._answered(self._polls))
        self._events.after(_POLL_S * (1 + self._around.chance()), self._again, self._polls)

    def _answered(self, poll: int) -> Callable[[Sequence[Order]], None]:
        def answer(orders: Sequence[Order]) -> None:
            network = self._around.network
            network.carry(self.machine.region, DOWN, self._take, poll, tuple(orders))

        return answer

    def _again(self, poll: int) -> None:
        if poll == self._polls and self.awake:
            self._poll()

    def _take(self, poll: int, orders: Sequence[Order]) -> None:
        if not self.awake:
            return
        if poll == self._polls:
            self._polls += 1
        for order in orders:
            if order.id not in self.journal.known:
                self.journal.known[order.id] = None
                self.journal.orders[order.id] = order
        if not self._dies():
            self._work()

    def _work(self) -> None:
        if self._working or not self.journal.orders:
            return
        order = next(iter(self.journal.orders.values()))
        now = self._clock
        if order.id not in self.journal.begun:
            if order.until is not None and now >= order.until:
                self._end(order, RunStatus.FAILED, "it came too late")
                return
            self.journal.begun[order.id] = now
            self._around.begun(self.machine)
        began = self.journal.begun[order.id]
        self._say(Run(order.id, RunKind.INSTALL, began, RunStatus.IN_PROGRESS))
        self._working = True
        took = 5.0 + self._around.chance() * _LONGEST_INSTALL_S
        if not self._dies():
            self._events.after(took, self._apply, self.life, order)

    def _apply(self, life: int, order: Order) -> None:
        if life != self.life:
            return
        failed = self._around.chance() < self._around.faults.fails
        for article in () if failed else self._around.meant(order.selection):
            if article not in self.live:
                self._around.applied(self.machine.id, article, order.id, self._boot)
                crash = self._around.crashes_after(self.machine, article)
                self.live[article] = self._events.now
                if crash is not None:
                    self._events.after(crash, self._crashed, article, self._events.now)
        if self._dies():
            return
        if self.machine.flatters or self.machine.slanders:
            failed = self.machine.slanders
        status = RunStatus.FAILED if failed else RunStatus.SUCCEEDED
        self._end(order, status, "simulated: it failed" if failed else "")

    def _end(self, order: Order, status: RunStatus, problem: str) -> None:
        self._working = False
        del self.journal.orders[order.id]
        now = self._clock
        began = self.journal.begun.get(order.id, now)
        self._say(Run(order.id, RunKind.INSTALL, began, status, now, problem=problem))
        if not self._dies():
            self._beat()
            self._work()

    # Reports.

    def _say(self, run: Run) -> None:
        self.journal.say(self._clock, run)
        self._send()

    def _send(self) -> None:
        if not self.awake or not self.journal.outbox:
            return
        self._sends += 1
        report = self.journal.outbox[0]
        self._up(self._server.reported, self.machine.id, report, self._heard)
        self._events.after(10 + 50 * self._around.chance(), self._send_again, self._sends)

    def _send_again(self, send: int) -> None:
        if send == self._sends:
            self._send()

    def _heard(self, number: int) -> None:
        self._around.network.carry(self.machine.region, DOWN, self._arrived, number)

    def _arrived(self, number: int) -> None:
        outbox = self.journal.outbox
        if self.awake and outbox and outbox[0].number == number:
            outbox.popleft()
            self._sends += 1
            self._send()

    # Health.

    def _beat(self) -> None:
        if not self._beating:
            self._beating = True
            self._beats(self.life)

    def _beats(self, life: int) -> None:
        if life != self.life:
            return
        if not self._server.waits_for(self.machine.id):
            self._beating = False
            return
        self._say_health()
        wait = _SAYS_EVERY_S * (0.75 + self._around.chance() / 4)
        self._events.after(wait, self._beats, life)

    def _say_health(self) -> None:
        now = self._clock
        ended = () if self.machine.flatters else tuple(self._crashes)
        if self.machine.slanders:
            ended = (Ended(1, "simulated", now, Ending.CRASHED, 11),)
        self.journal.say(now, health=Health(now, now, len(self.live), ended=ended))
        self._send()

    def _crashed(self, article: str, applied: float) -> None:
        if self.live.get(article) != applied:
            return  # the machine was switched off since then
        pid = len(self._crashes) + 100
        self._crashes.append(Ended(pid, "simulated", self._clock, Ending.CRASHED, 11))
        if self.awake:
            self._say_health()

    # Life and death.

    def _dies(self) -> bool:
        """After a step, by chance; somebody starts it again."""
        if self._around.chance() >= self._around.faults.agent_dies:
            return False
        self.up = False
        self._around.awake(self.machine.id, False)
        self._forget()
        self._events.after(5 + _LONGEST_AWAY_S * self._around.chance(), self._start, self.life)
        return True

    def _forget(self) -> None:
        self.life += 1
        self._working = self._beating = False

    def _start(self, life: int) -> None:
        if life == self.life:
            self.up = True
            self._around.awake(self.machine.id, True)
            self.wake()

    @property
    def _clock(self) -> float:
        """As the machine believes."""
        return self._events.now + self.machine.clock_s

    def _up(self, what: Callable[..., None], *words: object) -> None:
        self._around.network.carry(self.machine.region, UP, what, *words)
