"""Health: what is said of patched processes, when, and how often."""

from __future__ import annotations

import hashlib
import signal
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.fakes import DATA, FakeSurgery
from hotmend.agent.health import HealthWatch
from hotmend.agent.journal import Journal
from hotmend.agent.settings import Settings
from hotmend.model.agent_messages import Ending, Health, ProbeResult
from hotmend.surgery.process import Identity

A, B = Identity(10, 100, "boot 1"), Identity(11, 101, "boot 1")


@dataclass
class FakeSenses:
    ledger: dict[Identity, str] = field(default_factory=dict)
    dead: set[Identity] = field(default_factory=set)
    told: dict[int, tuple[float, int]] = field(default_factory=dict)
    answers: tuple[ProbeResult, ...] = ()
    boot: str = "boot 1"

    def patched(self) -> dict[Identity, str]:
        return dict(self.ledger)

    def lives(self, identity: Identity) -> bool:
        return identity not in self.dead

    def having(self, sha256: str) -> set[int]:
        assert sha256 == hashlib.sha256(DATA).hexdigest()
        return {identity.pid for identity in self.ledger}

    def boot_id(self) -> str:
        return self.boot

    def exits(self) -> dict[int, tuple[float, int]]:
        return self.told

    def probes(self) -> tuple[ProbeResult, ...]:
        return self.answers


@dataclass
class Patient:
    folder: Path
    senses: FakeSenses = field(default_factory=lambda: FakeSenses({A: "nginx", B: "nginx"}))
    surgery: FakeSurgery = field(default_factory=lambda: FakeSurgery({10: True, 11: True}))
    now: float = 1_000_000.0

    def __post_init__(self) -> None:
        self.journal = Journal(self.folder / "journal.sqlite")
        self.watch = self.started()

    def started(self) -> HealthWatch:
        return HealthWatch(
            self.journal, self.surgery, self.senses, Settings(), clock=lambda: self.now
        )

    def later(self, seconds: float) -> Health | None:
        """What was said in that time; it arrives at once."""
        said = None
        for _ in range(int(seconds)):
            self.now += 1.0
            self.watch.turn()
            if (report := self.journal.unsent()) is not None:
                said = report.health
                self.journal.arrived(report.number)
        return said


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    return Patient(tmp_path)


def test_a_healthy_machine_says_so_now_and_then(patient: Patient) -> None:
    first = patient.later(5)
    assert first is not None and (first.intact, first.drifted, first.ended) == (2, (), ())
    assert first.verified is not None
    assert patient.later(54) is None, "nothing has changed"
    again = patient.later(5)
    assert again is not None and again.time > first.time


def test_a_crash_is_told_once_with_its_signal(patient: Patient) -> None:
    patient.later(3)
    patient.senses.dead = {A}
    patient.senses.told = {10: (patient.now + 0.5, signal.SIGSEGV)}
    said = patient.later(3)
    assert said is not None
    (ended,) = said.ended
    assert (ended.pid, ended.ending, ended.number) == (10, Ending.CRASHED, signal.SIGSEGV)
    assert ended.time == patient.now - 2.5, "when it happened, not when it was noticed"
    later = patient.later(70)
    assert later is not None and later.ended == (ended,)
    patient.watch = patient.started()
    after = patient.later(5)
    assert after is not None and after.ended == (ended,), "not again after a start"


def test_a_process_that_ended_while_nobody_looked_is_unknown(patient: Patient) -> None:
    patient.later(3)
    patient.senses.dead, patient.senses.ledger = {A}, {B: "nginx"}  # the ledger was tidied
    patient.watch = patient.started()
    said = patient.later(6)
    assert said is not None and [(e.pid, e.ending) for e in said.ended] == [(10, Ending.UNKNOWN)]


def test_a_process_that_was_patched_and_died_between_two_looks(patient: Patient) -> None:
    late = Identity(12, 102, "boot 1")
    patient.later(3)
    patient.senses.ledger[late] = "nginx"
    patient.senses.dead.add(late)
    patient.senses.told[12] = (patient.now, signal.SIGILL)
    said = patient.later(3)
    assert said is not None and [e.ending for e in said.ended] == [Ending.CRASHED]


def test_a_restart_of_the_machine_is_no_crash(patient: Patient) -> None:
    patient.later(3)
    patient.senses = FakeSenses(boot="boot 2")
    patient.watch = patient.started()
    said = patient.later(6)
    assert said is not None and said.ended == ()


def test_memory_that_is_not_as_written_is_told(patient: Patient) -> None:
    patient.later(3)
    patient.surgery.differing = {11}
    assert patient.later(50) is None, "it is not read all the time"
    said = patient.later(3600)
    assert said is not None and said.intact == 1
    assert [(d.pid, d.because.partition(":")[0]) for d in said.drifted] == [(11, "bytes-differ")]
    patient.surgery.differing = set()
    mended = patient.later(3600)
    assert mended is not None and (mended.intact, mended.drifted) == (2, ())


def test_memory_that_is_mended_before_it_was_read_again_is_told(patient: Patient) -> None:
    patient.later(3)
    patient.surgery.processes |= {11: False, 12: False}  # the one had it, the other is new
    patient.watch.put_in_again(DATA)
    said = patient.later(1)
    assert said is not None and said.intact == 1
    assert [(d.pid, d.because.partition(":")[0]) for d in said.drifted] == [(11, "bytes-differ")]
    patient.watch.put_in_again(DATA)
    assert patient.later(1) is None
    patient.watch.verify()
    mended = patient.later(1)
    assert mended is not None and (mended.intact, mended.drifted) == (3, ())


def test_memory_that_is_not_as_written_is_told_once_when_it_is_mended(patient: Patient) -> None:
    patient.later(3)
    patient.surgery.processes[11], patient.surgery.differing = False, {11}
    patient.watch.verify()
    patient.watch.put_in_again(DATA)
    said = patient.later(1)
    assert said is not None and [d.pid for d in said.drifted] == [11]


def test_a_probe_that_changes_its_mind_is_told_at_once(patient: Patient) -> None:
    patient.senses.answers = (ProbeResult("page", True, patient.now, 0.1),)
    patient.later(3)
    patient.senses.answers = (ProbeResult("page", True, patient.now, 0.2),)
    assert patient.later(10) is None, "as well as before"
    patient.senses.answers = (ProbeResult("page", False, patient.now, 5.0, "answered 500"),)
    said = patient.later(2)
    assert said is not None and said.probes[0].because == "answered 500"


def test_what_was_not_heard_is_said_once_when_it_is(patient: Patient) -> None:
    for _ in range(500):
        patient.now += 60.0
        patient.watch.turn()
    patient.senses.dead = {A}
    patient.senses.told = {10: (patient.now, signal.SIGABRT)}
    for _ in range(3):
        patient.now += 60.0
        patient.watch.turn()
    report = patient.journal.unsent()
    assert report is not None and report.health is not None and report.health.time == patient.now
    assert [e.ending for e in report.health.ended] == [Ending.CRASHED]
    patient.journal.arrived(report.number)
    assert patient.journal.unsent() is None, "no queue of old news"
