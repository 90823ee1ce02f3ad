"""A machine on which nothing is real: every port of the agent, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from hotmend.agent.agent import Agent
from hotmend.agent.allowed import Known, Machine
from hotmend.agent.assess import Seen
from hotmend.agent.channel import Available, Looked
from hotmend.agent.errors import AgentError, LinkError
from hotmend.agent.journal import Journal
from hotmend.agent.packages import Upgrade
from hotmend.model.agent_messages import (
    Facts,
    Order,
    Poll,
    Polled,
    Renew,
    Renewed,
    Report,
    Reported,
)
from hotmend.model.outcome import Outcome, OutcomeKind
from hotmend.model.refusal import Refusal, RefusalCode
from hotmend.release.classification import Classification
from hotmend.release.debian_catalogue import of_update
from hotmend.release.parity import Update
from hotmend.release.repository import client
from hotmend.surgery.order import Stale

FACTS = Facts("host", "debian", "12", "6.1", "0", 0.0)
DATA = b"a hotpatch"
UPDATE = Update("nginx", "1", "2", Classification.SECURITY, ("CVE-1",), True, "nginx.hotpatch")


def available() -> Available:
    package, live = of_update(UPDATE)
    return Available(UPDATE, package, live, None, DATA)


@dataclass
class FakeSurgery:
    """``processes``: pid to whether it has the hotpatch; ``stubborn``: refuse it."""

    processes: dict[int, bool] = field(default_factory=lambda: {10: False, 11: False})
    stubborn: set[int] = field(default_factory=set)
    applied: list[int] = field(default_factory=list)
    old_files: tuple[Stale, ...] = ()
    differing: set[int] = field(default_factory=set)

    def look(self, data: bytes) -> Seen:
        assert data == DATA
        kinds = {True: OutcomeKind.ALREADY, False: OutcomeKind.OUTDATED}
        return Seen(tuple(Outcome(p, "nginx", kinds[has]) for p, has in self.processes.items()))

    def apply(self, data: bytes, pids: Sequence[int] = ()) -> tuple[Outcome, ...]:
        outcomes = []
        for pid, has in self.processes.items():
            if pid in self.stubborn:
                no = Refusal(RefusalCode.BYTES_DIFFER, "its code was changed")
                outcomes.append(Outcome(pid, "nginx", OutcomeKind.REFUSED, refusal=no))
            elif has:
                outcomes.append(Outcome(pid, "nginx", OutcomeKind.ALREADY))
            else:
                self.processes[pid] = True
                self.applied.append(pid)
                outcomes.append(Outcome(pid, "nginx", OutcomeKind.APPLIED, 0.1))
        return tuple(outcomes)

    def revert(self, data: bytes) -> tuple[Outcome, ...]:
        assert data == DATA
        outcomes = []
        for pid in [pid for pid, has in self.processes.items() if has]:
            if pid in self.stubborn:
                outcomes.append(Outcome(pid, "nginx", OutcomeKind.BLOCKED))
            else:
                self.processes[pid] = False
                outcomes.append(Outcome(pid, "nginx", OutcomeKind.REVERTED, 0.1))
        return tuple(outcomes)

    def verify(self) -> tuple[Outcome, ...]:
        found = []
        for pid, has in self.processes.items():
            if pid in self.differing:
                no = Refusal(RefusalCode.BYTES_DIFFER, "nginx: at 0x10 there is 00 instead of 11")
                found.append(Outcome(pid, "nginx", OutcomeKind.REFUSED, refusal=no))
            elif has:
                found.append(Outcome(pid, "nginx", OutcomeKind.ALREADY))
        return tuple(found)

    def stale(self) -> tuple[Stale, ...]:
        return self.old_files


@dataclass
class FakeHands:
    installed: list[str] = field(default_factory=list)
    broken: bool = False
    restarts: int = 0
    allowed: bool = True

    def install(self, name: str, version: str) -> None:
        if self.broken:
            raise AgentError("apt-get ended with 100: the disk is full")
        self.installed.append(f"{name}={version}")

    def restart(self) -> None:
        if not self.allowed:
            raise AgentError("the owner of this machine does not allow the agent to restart it")
        self.restarts += 1


@dataclass
class FakePackages:
    versions: dict[str, str] = field(default_factory=lambda: {"nginx": "1"})
    newer: list[Upgrade] = field(default_factory=list)

    def installed(self) -> dict[str, str]:
        return self.versions

    def upgrades(self) -> list[Upgrade]:
        return self.newer

    def files(self, name: str) -> frozenset[str]:
        return frozenset({f"/usr/sbin/{name}"})

    def older(self, version: str, than: str) -> bool:
        return version < than


@dataclass
class FakeAround:
    pending: bool = False
    boot: str = "boot 1"
    booted: float = 0.0
    updates: tuple[Available, ...] = field(default_factory=lambda: (available(),))
    problems: tuple[str, ...] = ()
    unread: frozenset[str] = frozenset()
    asked: list[tuple[str, ...]] = field(default_factory=list)
    known: Known = None
    zone: str = "Etc/UTC"
    ring: str = ""
    failures: int = 0

    def machine(self) -> Machine:
        return Machine("a machine", self.ring, self.zone)

    def refresh(self) -> client.Poll:
        return client.Poll("the metadata has expired" if self.failures else "", self.failures)

    def policy(self) -> Known:
        return self.known

    def facts(self) -> Facts:
        return replace(FACTS, booted=self.booted)

    def reboot_pending(self) -> bool:
        return self.pending

    def boot_id(self) -> str:
        return self.boot

    def look(self, releases: tuple[str, ...]) -> Looked:
        self.asked.append(releases)
        return Looked(self.updates, self.problems, frozenset(releases) - self.unread)


@dataclass
class FakeLink:
    """``silent``: nobody answers."""

    orders_waiting: list[Order] = field(default_factory=list)
    heard: list[Report] = field(default_factory=list)
    silent: bool = False
    releases: tuple[str, ...] = ("r.json",)

    def orders(self, poll: Poll) -> Polled:
        self._speak()
        waiting = tuple(order for order in self.orders_waiting if order.id not in poll.known)
        return Polled(waiting, self.releases)

    def report(self, report: Report) -> Reported:
        self._speak()
        self.heard.append(report)
        return Reported(True)

    def renew(self, renew: Renew) -> Renewed:
        self._speak()
        return Renewed("")

    def _speak(self) -> None:
        if self.silent:
            raise LinkError("not reached")


@dataclass
class FakeMachine:
    """All of it, with a clock; ``agent()`` starts another agent on what the last one left."""

    folder: Path
    surgery: FakeSurgery = field(default_factory=FakeSurgery)
    hands: FakeHands = field(default_factory=FakeHands)
    packages: FakePackages = field(default_factory=FakePackages)
    around: FakeAround = field(default_factory=FakeAround)
    link: FakeLink = field(default_factory=FakeLink)
    live: list[bytes] = field(default_factory=list)
    now: float = 1_000_000.0

    def agent(self) -> Agent:
        journal = Journal(self.folder / "journal.sqlite")

        def in_force(files: list[bytes]) -> None:
            self.live = files

        made = Agent(
            journal,
            self.surgery,
            self.hands,
            self.packages,
            self.around,
            in_force,
            lambda: self.now,
        )
        made.begin()
        return made

    def settle(self, agent: Agent) -> None:
        """Talk, work, and tell, until there is nothing left to do."""
        agent.exchange(self.link, 0)
        while agent.turn():
            pass
        while agent.send(self.link):
            pass
