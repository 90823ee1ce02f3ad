"""How this machine is: what became of patched processes, their memory, the owner's probes.

Signals say when they were observed. Where nothing is said, the control plane has only the time of
the last poll: silence is never health.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from typing import Protocol

from hotmend.agent.endings import endings, kept
from hotmend.agent.journal import Journal
from hotmend.agent.link import decoded
from hotmend.agent.settings import Settings
from hotmend.agent.surgery_port import Surgery
from hotmend.model.agent_messages import Drift, Ended, Health, ProbeResult
from hotmend.model.outcome import Outcome, OutcomeKind
from hotmend.model.refusal import RefusalCode
from hotmend.surgery.errors import SurgeryError
from hotmend.surgery.process import Identity

_LOOK_EVERY_S = 2.0


class Senses(Protocol):
    """Where signals come from."""

    def patched(self) -> dict[Identity, str]:
        """Command by process, of those in which a hotpatch is in force, ended ones included."""

    def having(self, sha256: str) -> set[int]:
        """The living processes in which that hotpatch is in force, by what was recorded."""

    def lives(self, identity: Identity) -> bool: ...

    def boot_id(self) -> str: ...

    def exits(self) -> dict[int, tuple[float, int]]:
        """(time, wait status) by pid, of the last processes that ended."""

    def probes(self) -> tuple[ProbeResult, ...]:
        """The latest of each."""


class HealthWatch:
    """Puts signals together and says them: when something changed, and now and then."""

    def __init__(
        self,
        journal: Journal,
        surgery: Surgery,
        senses: Senses,
        settings: Settings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._journal = journal
        self._surgery = surgery
        self._senses = senses
        self._settings = settings
        self._clock = clock
        self._looked = 0.0
        self._said: Health | None = None
        self._health = Health(0.0, ended=_ended(journal.noted("ended")))
        # A restart of the machine ended the others; that is no news of them.
        noted = _identities(journal.noted("patched"))
        self._patched = {i: c for i, c in noted.items() if i.boot_id == senses.boot_id()}
        # Gone at the last look, of which the kernel may yet tell why.
        self._missing: set[Identity] = set()
        # Told of already; kept for as long as the ledger has them.
        self._told = set(_identities(journal.noted("told")))

    def turn(self) -> None:
        """To be called often: does what is due."""
        now = self._clock()
        if now - self._looked >= _LOOK_EVERY_S:
            self.look()
        if now - (self._health.verified or 0.0) >= self._settings.verify_every_s:
            self.verify()
        self._health = replace(self._health, probes=self._senses.probes())
        silent = self._said is None or now - self._said.time >= self._settings.health_every_s
        if silent or _without_times(self._said) != _without_times(self._health):
            self._said = self._health = replace(self._health, time=now)
            self._journal.say_health(self._health)

    def look(self) -> None:
        """Has a patched process ended? To be called before each surgery, too: with it the ledger
        forgets the dead."""
        now = self._looked = self._clock()
        known = self._senses.patched()
        patched = {i: c for i, c in {**self._patched, **known}.items() if i not in self._told}
        gone = {i: c for i, c in patched.items() if not self._senses.lives(i)}
        seen = self._senses.exits()
        sure = {i: c for i, c in gone.items() if i.pid in seen or i in self._missing}
        self._missing = set(gone) - set(sure)
        if sure:
            told = endings(sure, seen, now)
            self._health = replace(self._health, ended=kept([*self._health.ended, *told], now))
            self._journal.note("ended", json.dumps([asdict(e) for e in self._health.ended]))
        told_of = (self._told | set(sure)) & set(known)
        if told_of != self._told:
            self._journal.note("told", _as_text(dict.fromkeys(told_of, "")))
            self._told = told_of
        living = {i: c for i, c in patched.items() if i not in sure}
        if living != self._patched:
            self._journal.note("patched", _as_text(living))
            self._patched = living

    def verify(self) -> None:
        """Read all patched memory again."""
        now = self._clock()
        try:
            outcomes = self._surgery.verify()
        except SurgeryError as error:
            unread = Drift(0, "", f"it could not be read again: {error}")
            self._health = replace(self._health, verified=now, intact=0, drifted=(unread,))
            return
        intact = {o.pid for o in outcomes if o.kind is OutcomeKind.ALREADY}
        drifted = drifts(outcomes)
        intact -= {drift.pid for drift in drifted}
        self._health = replace(self._health, verified=now, intact=len(intact), drifted=drifted)

    def put_in_again(self, data: bytes) -> None:
        """Apply to every process. One that had it already was changed after ``verify``: that is
        drift, and afterwards nobody could read it any more. Raises SurgeryError."""
        had = self._senses.having(hashlib.sha256(data).hexdigest())
        had -= {drift.pid for drift in self._health.drifted}
        because = f"{RefusalCode.BYTES_DIFFER.value}: it was taken out, and is put in again"
        again = tuple(
            Drift(o.pid, o.command, because)
            for o in self._surgery.apply(data)
            if o.kind is OutcomeKind.APPLIED and o.pid in had
        )
        if again:
            intact = max(0, self._health.intact - len(again))
            drifted = (*self._health.drifted, *again)
            self._health = replace(self._health, intact=intact, drifted=drifted)


def drifts(outcomes: Iterable[Outcome]) -> tuple[Drift, ...]:
    """The processes whose memory is not as it was written."""
    return tuple(
        Drift(o.pid, o.command, f"{o.refusal.code.value}: {o.refusal.sentence}")
        for o in outcomes
        if o.kind is OutcomeKind.REFUSED and o.refusal is not None
    )


def _without_times(health: Health | None) -> Health | None:
    if health is None:
        return None
    probes = tuple(replace(probe, time=0.0, took_s=0.0) for probe in health.probes)
    return replace(health, time=0.0, verified=None, probes=probes)


def _ended(text: str) -> tuple[Ended, ...]:
    return tuple(decoded(row, Ended) for row in json.loads(text or "[]"))


def _identities(text: str) -> dict[Identity, str]:
    return {Identity(*row[:3]): row[3] for row in json.loads(text or "[]")}


def _as_text(patched: dict[Identity, str]) -> str:
    return json.dumps([[i.pid, i.start_time, i.boot_id, c] for i, c in patched.items()])
