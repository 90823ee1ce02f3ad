"""The agent's surgeon on real processes: look, apply, verify, and who runs old files."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotmend.agent.endings import Exits
from hotmend.agent.health import HealthWatch
from hotmend.agent.journal import Journal
from hotmend.agent.senses import MachineSenses, ProbeRounds
from hotmend.agent.settings import Settings
from hotmend.agent.surgery_port import HiredSurgeon
from hotmend.hotpatch.codec import encode
from hotmend.model.outcome import OutcomeKind
from hotmend.surgery.ledger import Ledger
from surgery.hired import hired
from surgery.workshop import hotpatch, running

DATA = encode(hotpatch("answer"))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "state")


@pytest.fixture
def surgery(ledger: Ledger) -> Iterator[HiredSurgeon]:
    with hired(ledger) as made:
        yield made


def test_what_is_in_force_is_read_again(surgery: HiredSurgeon, ledger: Ledger) -> None:
    with running("idle") as target, running("idle") as other:
        surgery.apply(DATA, (target.pid, other.pid))
        kinds = {outcome.pid: outcome.kind for outcome in surgery.verify()}
        assert kinds == dict.fromkeys((target.pid, other.pid), OutcomeKind.ALREADY)
        _tamper(target.pid, ledger)
        differs = {outcome.pid: outcome for outcome in surgery.verify()}
        assert differs[other.pid].kind is OutcomeKind.ALREADY
        assert differs[target.pid].kind is OutcomeKind.REFUSED
        refusal = differs[target.pid].refusal
        assert refusal is not None and refusal.code.value == "bytes-differ"
    assert {outcome.kind for outcome in surgery.verify()} == {OutcomeKind.GONE}


def test_what_was_taken_out_since_it_was_read_is_told_when_it_is_put_in_again(
    surgery: HiredSurgeon, ledger: Ledger, tmp_path: Path
) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    senses = MachineSenses(ledger, Exits(None), ProbeRounds(()))
    health = HealthWatch(journal, surgery, senses, Settings())
    with running("idle") as target, running("idle") as other:
        surgery.apply(DATA, (target.pid, other.pid))
        health.turn()
        _tamper(target.pid, ledger)
        assert target.ask() == 1
        with running("idle") as later:
            health.put_in_again(DATA)
            assert [target.ask(), other.ask(), later.ask()] == [2, 2, 2]
        health.turn()
        said = journal.unsent()
        assert said is not None and said.health is not None
        assert [drift.pid for drift in said.health.drifted] == [target.pid]


def _tamper(pid: int, ledger: Ledger) -> None:
    """The old bytes of a detour are written again."""
    entry = next(e for e in ledger.entries()[0] if e.identity.pid == pid)
    write = entry.images[0].writes[0]
    with Path(f"/proc/{pid}/mem").open("r+b", buffering=0) as memory:
        memory.seek(write.address)
        memory.write(write.before)


def test_who_ended_is_seen_before_the_ledger_forgets(surgery: HiredSurgeon, ledger: Ledger) -> None:
    known: list[set[int]] = []
    surgery.beforehand = lambda: known.append({e.identity.pid for e in ledger.entries()[0]})
    with running("idle") as other:
        with running("idle") as target:
            surgery.apply(DATA, (target.pid,))
        surgery.apply(DATA, (other.pid,))
        assert known == [set(), {target.pid}]
        assert {e.identity.pid for e in ledger.entries()[0]} == {other.pid}


def test_who_runs_a_file_that_was_replaced(surgery: HiredSurgeon, tmp_path: Path) -> None:
    program = tmp_path / "sleeper"
    shutil.copy2(shutil.which("sleep") or "/bin/sleep", program)
    with subprocess.Popen([program, "60"]) as process:
        try:
            deadline = time.monotonic() + 5
            while Path(f"/proc/{process.pid}/exe").readlink() != program:
                assert time.monotonic() < deadline
            assert process.pid not in {one.pid for one in surgery.stale()}
            fixed = tmp_path / "fixed"
            shutil.copy2(program, fixed)
            fixed.replace(program)
            found = {one.pid: one for one in surgery.stale()}
            assert found[process.pid].files == (str(program),)
            assert found[process.pid].command == "sleeper"
            notes = subprocess.run(["readelf", "-n", program], capture_output=True, text=True)
            (build,) = found[process.pid].builds
            assert len(build) == 40 and f"Build ID: {build}\n" in notes.stdout
        finally:
            process.kill()
