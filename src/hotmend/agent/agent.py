"""The agent: what it does with one order, with the time between orders, and with reports.

Everything around it is handed in, so that the same agent runs on fakes. ``turn`` is one piece of
work and is called for ever; ``exchange`` is one talk with the control plane, on another thread.
"""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Protocol

from hotmend.agent import allowed, restarts
from hotmend.agent.allowed import Known, Machine
from hotmend.agent.assess import Seen, assess, replaced
from hotmend.agent.channel import Available, Looked
from hotmend.agent.errors import AgentError, RefusedByServer
from hotmend.agent.install import Installer, install, status, wants_restart
from hotmend.agent.journal import Journal
from hotmend.agent.link import Link, decoded
from hotmend.agent.packages import Packages
from hotmend.agent.revert import revert
from hotmend.agent.surgery_port import Surgery
from hotmend.model.agent_messages import (
    Assessment,
    Facts,
    Installation,
    InstallationState,
    Order,
    Poll,
    RebootStatus,
    Run,
    RunKind,
    RunStatus,
    StaleProcess,
)
from hotmend.model.outcome import OutcomeKind
from hotmend.model.refusal import Refusal
from hotmend.release.repository import client
from hotmend.surgery.errors import SurgeryError

ASSESS_EVERY_S = 24 * 3600.0
# After a start of the machine: before, services that run old code may not be there yet.
SETTLED_S = 120.0
# How soon a rotation of the publishers' keys arrives; metadata that went stale is an alarm after
# two of these.
REFRESH_EVERY_S = 600.0
# A new release is looked at within that, each machine at a time of its own: as often as each asks
# for metadata anyway.
NEWS_WITHIN_S = REFRESH_EVERY_S
# Who could not read all releases tries again; until then new processes may go without a hotpatch.
AGAIN_WITHIN_S = 3600.0
_DAY_S = 24 * 3600.0


class Hands(Installer, Protocol):
    """Installs, and restarts the machine."""

    def restart(self) -> None:
        """Raises AgentError."""


class Surroundings(Protocol):
    """What the machine says of itself."""

    def facts(self) -> Facts: ...

    def reboot_pending(self) -> bool: ...

    def boot_id(self) -> str: ...

    def machine(self) -> Machine: ...

    def refresh(self) -> client.Poll:
        """Bring the repository's metadata up to date."""

    def policy(self) -> Known:
        """The signed rollout policy."""

    def look(self, releases: tuple[str, ...]) -> Looked:
        """The repository's updates."""


class Agent:
    """``live``: told of the hotpatches that are in force, so that new processes get them, too."""

    def __init__(
        self,
        journal: Journal,
        surgery: Surgery,
        hands: Hands,
        packages: Packages,
        around: Surroundings,
        live: Callable[[list[bytes]], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
        assess_every_s: float = ASSESS_EVERY_S,
    ) -> None:
        self._journal = journal
        self._surgery = surgery
        self._hands = hands
        self._packages = packages
        self._around = around
        self._live = live
        self._clock = clock
        self._assess_every_s = assess_every_s
        self._facts_sent = False
        self._refreshed = float("-inf")
        self._stale = ""

    # What is done on the machine.

    def begin(self) -> None:
        """After a start: end what a restart of the machine interrupted. What was seen before is
        looked at again: memory may be another, and which hotpatches are in force is not known."""
        self._journal.note("assessed", "")
        noted = self._journal.noted("restart")
        if not noted:
            return
        content = json.loads(noted)
        run: Run = decoded(content["run"], Run)
        restarted = content["boot"] != self._around.boot_id()
        if run.installation is not None:
            after = RebootStatus.COMPLETED if restarted else RebootStatus.FAILED
            run = replace(run, installation=replace(run.installation, reboot=after))
        if not restarted:
            run = replace(run, status=RunStatus.FAILED, problem="the machine did not restart")
        self._end(run)
        self._journal.note("restart", "")

    def turn(self) -> bool:
        """One piece of work, if there is one; none while the machine goes down."""
        if self._journal.noted("restart"):
            return False
        for order in self._journal.waiting():
            self._carry_out(order)
            return True
        if self._clock() - self._refreshed >= REFRESH_EVERY_S and self._refresh():
            return True
        if not self._journal.noted("heard"):
            return False  # what the control plane selects is not known yet
        last = float(self._journal.noted("assessed") or 0)
        settled = self._around.facts().booted + SETTLED_S
        due = next_assessment(last, self._assess_every_s, settled)
        if self._clock() >= min(due, float(self._journal.noted("look by") or due)):
            self._assess(str(uuid.uuid4()))
            return True
        return False

    def _carry_out(self, order: Order) -> None:
        late = None if self._journal.begun(order) else allowed.to_begin(order, self._clock())
        if late is not None:
            self._refuse(order, late)
            return
        if order.kind is RunKind.ASSESS:
            self._assess(order.id)
            return
        known = self._around.policy()
        refusal = self._may_act(known, order)
        if refusal is not None:
            self._refuse(order, refusal)
            return
        began = self._journal.begin(order, self._clock())
        if order.kind is RunKind.INSTALL:
            self._install(order, began, known)
        elif order.kind is RunKind.REVERT:
            self._revert(order, began, known)
        else:
            self._restart(Run(order.id, RunKind.RESTART, began, RunStatus.SUCCEEDED))

    def _refuse(self, order: Order, refusal: Refusal) -> None:
        now = self._clock()
        self._end(Run(order.id, order.kind, now, RunStatus.FAILED, problem=str(refusal)))

    def _refresh(self) -> bool:
        """Whether somebody is told: that the repository went stale, or that it is well again."""
        self._refreshed = self._clock()
        poll = self._around.refresh()
        before = bool(self._stale)
        self._stale = f"alarm, {poll.failures} times in a row: {poll.problem}" if poll.alarm else ""
        if bool(self._stale) is before:
            return False
        self._assess(str(uuid.uuid4()))
        return True

    def _assess(self, identifier: str) -> None:
        began = self._clock()
        self._journal.note("assessed", str(began))
        self._journal.note("look by", "")
        run = Run(identifier, RunKind.ASSESS, began, RunStatus.SUCCEEDED)
        try:
            assessment, looked = self._look()
            if assessment.unread:
                self._look_by(AGAIN_WITHIN_S * random.uniform(0.5, 1.0))
            problem = self._problem(looked)
            kind = RunStatus.COMPLETED_WITH_WARNINGS if problem else RunStatus.SUCCEEDED
            self._end(replace(run, status=kind, assessment=assessment, problem=problem))
        except (AgentError, SurgeryError) as error:
            self._end(replace(run, status=RunStatus.FAILED, problem=str(error)))

    def _install(self, order: Order, began: float, known: Known) -> None:
        run = Run(order.id, RunKind.INSTALL, began, RunStatus.IN_PROGRESS)
        self._journal.say(run, self._clock())
        try:
            assessment, looked = self._look(order.release)
            hotpatches = {a.live.article: a for a in looked.available if a.live is not None}
            released = {
                patch.article: a.released
                for a in looked.available
                for patch in (a.package, a.live)
                if patch is not None
            }

            def permit(article: str) -> Refusal | None:
                refusal = self._may_act(known, order)
                if refusal is not None or article not in released:
                    return refusal
                return allowed.to_install(
                    known, self._around.machine(), self._now(), article, released[article]
                )

            done = install(
                order,
                began,
                assessment,
                hotpatches,
                self._surgery,
                self._hands,
                lambda name: self._still_old(name, looked),
                self._clock,
                permit,
            )
        except (AgentError, SurgeryError) as error:
            self._end(replace(run, status=RunStatus.FAILED, problem=str(error)))
            return
        self._take_out(self._taken_out() - _brought(done))
        unread = order.release and order.release not in looked.whole
        kind = RunStatus.FAILED if unread else status(done)
        run = replace(run, status=kind, installation=done, problem=self._problem(looked))
        if wants_restart(order, done, began, self._clock()):
            refusal = self._may_act(known, order)
            if refusal is None:
                self._restart(replace(run, installation=replace(done, reboot=RebootStatus.STARTED)))
                return
            run = replace(run, problem=self._problem(looked, f"no restart: {refusal}"))
        if run.problem and run.status is RunStatus.SUCCEEDED:
            run = replace(run, status=RunStatus.COMPLETED_WITH_WARNINGS)
        self._end(run)
        # What the server shows is how the machine stands now, not before.
        self._assess(str(uuid.uuid4()))

    def _revert(self, order: Order, began: float, known: Known) -> None:
        run = Run(order.id, RunKind.REVERT, began, RunStatus.IN_PROGRESS)
        self._journal.say(run, self._clock())
        try:
            # First: nobody puts in again what is taken out, also where a process keeps it.
            self._take_out(self._taken_out() | set(order.selection.include))
            _, looked = self._look()
            hotpatches = {a.live.article: a for a in looked.available if a.live is not None}
            done = revert(order, hotpatches, self._surgery, lambda: self._may_act(known, order))
        except (AgentError, SurgeryError) as error:
            self._end(replace(run, status=RunStatus.FAILED, problem=str(error)))
            return
        self._end(replace(run, status=status(done), installation=done))
        # New processes do not get it any more, and the server shows how the machine stands now.
        self._assess(str(uuid.uuid4()))

    def _restart(self, run: Run) -> None:
        boot = self._around.boot_id()
        self._journal.say(replace(run, status=RunStatus.IN_PROGRESS), self._clock())
        self._journal.note("restart", json.dumps({"boot": boot, "run": asdict(run)}))
        try:
            self._hands.restart()
        except AgentError as error:
            self._journal.note("restart", "")
            self._journal.note("assessed", "")  # what was installed before it is in force
            done = run.installation
            if done is not None:
                done = replace(done, reboot=RebootStatus.FAILED)
            self._end(replace(run, status=RunStatus.FAILED, problem=str(error), installation=done))

    def _look(self, release: str = "") -> tuple[Assessment, Looked]:
        """``release``: looked for whether or not the control plane still names it."""
        noted = (*self._journal.noted("releases").split("\n"), release)
        named = tuple(dict.fromkeys(filter(None, noted)))
        looked = self._around.look(named)
        hotpatches, seen = self._seen(looked)
        assessment = assess(
            looked.available,
            seen,
            self._packages.installed(),
            self._packages.upgrades(),
            self._surgery.stale(),
            older=self._packages.older,
            reboot_pending=self._around.reboot_pending(),
        )
        unread = tuple(name for name in named if name not in looked.whole)
        assessment = replace(assessment, unread=unread)
        self._live(_in_force(assessment, hotpatches, self._taken_out()))
        return assessment, looked

    def _look_by(self, in_s: float) -> None:
        """Assess by then, or earlier where that was noted."""
        at = self._clock() + in_s
        self._journal.note("look by", str(min(at, float(self._journal.noted("look by") or at))))

    def _taken_out(self) -> set[str]:
        """Articles that were reverted and not installed since."""
        return set(filter(None, self._journal.noted("taken out").split("\n")))

    def _take_out(self, articles: set[str]) -> None:
        self._journal.note("taken out", "\n".join(sorted(articles)))

    def _seen(self, looked: Looked) -> tuple[list[Available], dict[str, Seen]]:
        hotpatches = [one for one in looked.available if one.live is not None]
        looks = {one.live.article: self._surgery.look(one.data) for one in hotpatches if one.live}
        return hotpatches, looks

    def _still_old(self, name: str, looked: Looked) -> list[StaleProcess]:
        """Who runs the old code of a package that is on the disk now."""
        stale = self._surgery.stale()
        judged = restarts.judged(stale, replaced(*self._seen(looked), stale))
        return restarts.of_files(judged, self._packages.files(name))

    def _may_act(self, known: Known, order: Order) -> Refusal | None:
        others = self._journal.others(order, self._clock() - _DAY_S)
        return allowed.to_act(known, self._around.machine(), self._now(), others)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def _problem(self, looked: Looked, first: str = "") -> str:
        return "; ".join(filter(None, (first, self._stale, *looked.problems)))

    def _end(self, run: Run) -> None:
        now = self._clock()
        self._journal.say(replace(run, finished=now), now, ends=run.id)

    # What is said to the control plane.

    def exchange(self, link: Link, wait_s: float) -> bool:
        """Hear of orders; whether there are new ones. Raises LinkError, RefusedByServer."""
        polled = link.orders(Poll(wait_s, self._journal.known()))
        before, releases = self._journal.noted("releases"), "\n".join(polled.releases)
        self._journal.note("releases", releases)
        if releases != before:
            self._look_by(NEWS_WITHIN_S * random.uniform(0.0, 1.0))
        self._journal.note("heard", str(self._clock()))
        return any([self._journal.take(order) for order in polled.orders])

    def send(self, link: Link) -> bool:
        """Send the oldest report; whether there was one. Raises LinkError, RefusedByServer."""
        report = self._journal.unsent()
        if report is None:
            return False
        if not self._facts_sent:
            report = replace(report, facts=self._around.facts())
        try:
            link.report(report)
        except RefusedByServer:
            self._journal.arrived(report.number)
            raise
        self._facts_sent = True
        self._journal.arrived(report.number)
        return True


def next_assessment(last: float, every_s: float, settled: float) -> float:
    """Up to a twentieth early, by a chance that is drawn once for each ``last``: machines that
    began together do not stay together. ``settled``: when the machine's services had come up; what
    was seen before counts for nothing, nor does 0, for never."""
    if last < settled:
        return settled
    return last + every_s * random.Random(last).uniform(0.95, 1.0)


def _brought(done: Installation) -> set[str]:
    """Articles that went into a process, or that none needed any more."""
    return {
        patch.article
        for patch in done.patches
        if patch.state is InstallationState.INSTALLED
        or any(process.kind == OutcomeKind.APPLIED.value for process in patch.processes)
    }


def _in_force(
    assessment: Assessment, hotpatches: list[Available], taken_out: set[str]
) -> list[bytes]:
    """The files of those that any process has, or that no process needs any more."""
    patched = {patch.article for patch in assessment.patches if patch.patched}
    wanted = (patched | set(assessment.installed)) - taken_out
    return [one.data for one in hotpatches if one.live and one.live.article in wanted]
