"""The agent's process: who has which right, and which thread does what.

hand      may install packages and restart; forked first
surgeon   may trace, and has no network; forked second
worker    this process, with no rights left: it has the network, and runs the owner's probes
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from hotmend.agent import channel, endings, facts, hand, notify, packages
from hotmend.agent.agent import Agent
from hotmend.agent.allowed import Known, Machine
from hotmend.agent.backoff import BackOff
from hotmend.agent.channel import Looked
from hotmend.agent.endings import Exits
from hotmend.agent.errors import AgentError, LinkError, RefusedByServer
from hotmend.agent.folder import AgentFolder, write
from hotmend.agent.hand import Commands
from hotmend.agent.health import HealthWatch
from hotmend.agent.identity import half_life, new_request
from hotmend.agent.journal import Journal
from hotmend.agent.link import HttpsLink
from hotmend.agent.senses import MachineSenses, ProbeRounds
from hotmend.agent.settings import Settings
from hotmend.agent.surgery_port import HiredSurgeon
from hotmend.agent.witness import Witnessing
from hotmend.model.agent_messages import Facts, Renew
from hotmend.model.outcome import OutcomeKind
from hotmend.release.repository import client
from hotmend.surgery.errors import SurgeryError
from hotmend.surgery.ledger import Ledger
from hotmend.surgery.surgeon import hire
from hotmend.surgery.watch import Source, events, watch

_IDLE_S = 0.25


@dataclass(frozen=True)
class _Around:
    folder: AgentFolder
    ring: str

    def facts(self) -> Facts:
        return facts.facts()

    def reboot_pending(self) -> bool:
        return facts.reboot_pending()

    def boot_id(self) -> str:
        return facts.boot_id()

    def machine(self) -> Machine:
        return Machine(facts.machine_id(), self.ring, facts.zone())

    def refresh(self) -> client.Poll:
        if not self.folder.trusts_a_root:
            return client.Poll("", 0)
        return client.poll(self.folder.repository)

    def policy(self) -> Known:
        if not self.folder.trusts_a_root:
            return None
        return channel.rules(self.folder.repository, self.folder.downloads)

    def look(self, releases: tuple[str, ...]) -> Looked:
        if not self.folder.trusts_a_root:
            because = "no root of publishers is trusted here: hotmend enroll --root root.json"
            return Looked((), (because,) if releases else ())
        return channel.look(self.folder.repository, releases, self.folder.downloads)


def run(folder: AgentFolder, settings: Settings, say: Callable[[str], None]) -> None:
    """For ever. Raises AgentError where it cannot begin."""
    enrolment = folder.enrolment
    around = _Around(folder, folder.ring)
    # Both need a right that is given up below.
    source, exits = events(), Exits(endings.connector())
    commands = Commands() if settings.may_restart else replace(Commands(), restart=())
    with hand.lend(commands) as hands, hire(Ledger()) as surgeon:
        journal = Journal(folder.journal)
        surgery = HiredSurgeon(surgeon)
        live: list[bytes] = []

        def in_force(files: list[bytes]) -> None:
            live[:] = files

        def meanwhile() -> None:
            """What does not wait for an order: new processes, and how the machine is."""
            next(rounds)
            health.turn()

        agent = Agent(
            journal,
            surgery,
            hands,
            packages.found(meanwhile),
            around,
            in_force,
            assess_every_s=settings.assess_every_s,
        )
        agent.begin()
        probes = ProbeRounds(settings.probes)
        health = HealthWatch(journal, surgery, MachineSenses(Ledger(), exits, probes), settings)
        surgery.beforehand = health.look
        hands.meanwhile = meanwhile
        threading.Thread(target=exits.listen, name="exits", daemon=True).start()
        probes.begin()
        news = threading.Event()
        for talk in (_polling, _sending):
            threading.Thread(
                target=talk, args=(agent, folder, news, say), name=talk.__name__, daemon=True
            ).start()
        say(f"{enrolment.resource} at {enrolment.server}")
        notify.ready()

        def attempt(pids: Sequence[int]) -> set[int]:
            answered = set()
            with suppress(SurgeryError):
                for data in live:
                    outcomes = surgery.apply(data, pids)
                    answered |= {o.pid for o in outcomes if o.kind is not OutcomeKind.BLOCKED}
            return answered

        def everything() -> None:
            if live:
                health.verify()  # before what somebody took out is put in again
            with suppress(SurgeryError):
                for data in live:
                    health.put_in_again(data)

        rounds = watch(_Impatient(source), attempt, everything)
        while True:
            meanwhile()
            while agent.turn():
                health.verify()
                news.set()


class _Impatient:
    """A source of events that is not waited for longer than an order may wait."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def within(self, seconds: float) -> list[int]:
        return self._source.within(min(seconds, _IDLE_S))


def _polling(
    agent: Agent, folder: AgentFolder, _: threading.Event, say: Callable[[str], None]
) -> None:
    link, back_off = None, BackOff(random.random)
    wait_s = 0.0  # at first, to hear at once which releases there are
    while True:
        try:
            link = link or _link(folder)
            if _renewed(folder, link):
                link = None
                continue
            watched = Witnessing(link, folder, folder.enrolment.log_key, say)
            agent.exchange(watched, wait_s)
            back_off.answered()
            wait_s = back_off.poll_s()
        except (LinkError, RefusedByServer, AgentError) as error:
            say(str(error))
            link = None
            time.sleep(back_off.wait_s())


def _sending(
    agent: Agent, folder: AgentFolder, news: threading.Event, say: Callable[[str], None]
) -> None:
    back_off = BackOff(random.random)
    while True:
        try:
            link = _link(folder)
            while agent.send(link):
                back_off.answered()
            link.close()
            news.wait(1.0)
            news.clear()
        except (LinkError, RefusedByServer, AgentError) as error:
            say(str(error))
            time.sleep(back_off.wait_s())


def _link(folder: AgentFolder) -> HttpsLink:
    return HttpsLink(folder.enrolment.server, folder.authority, folder.identity)


def _renewed(folder: AgentFolder, link: HttpsLink) -> bool:
    """A certificate past its half-life is exchanged."""
    if time.time() < half_life(folder.identity).timestamp():
        return False
    key, request = new_request(facts.facts().host)
    renewed = link.renew(Renew(request.decode()))
    write(folder.identity, key + renewed.certificate.encode())
    return True
