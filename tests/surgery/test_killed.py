"""The patcher is killed, at any moment: the target lives, is free, and runs old or new code.

What holds the target's threads ends its work even then, and the ledger's lock with it: whoever has
the lock has the process to himself.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hotmend.hotpatch.codec import encode
from hotmend.model.outcome import OutcomeKind
from hotmend.surgery.apply import apply
from hotmend.surgery.ledger import Ledger, State
from hotmend.surgery.linux import LinuxProcess
from hotmend.surgery.publishing import Terms
from hotmend.surgery.revert import revert
from hotmend.surgery.standing import in_place, untouched
from surgery.workshop import Target, eventually, field, hotpatch, running, threads

ROUNDS = int(os.environ.get("HOTMEND_KILL_ROUNDS", "15"))

_PATCHER = """
import sys
from pathlib import Path
from hotmend.hotpatch.codec import decode
from hotmend.surgery.apply import apply
from hotmend.surgery.ledger import Ledger, State
from hotmend.surgery.linux import LinuxProcess
from hotmend.surgery.publishing import Terms
from hotmend.surgery.revert import revert
pid, file, state = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
ledger, data, terms = Ledger(state), file.read_bytes(), Terms(budget_ms=500)
hotpatch, sha256 = decode(data), ledger.keep(data)
print("ready", flush=True)
with LinuxProcess(pid) as process, ledger.locked():
    while True:
        apply(process, hotpatch, sha256, ledger, terms)
        entry = next(e for e in ledger.of(process.identity) if e.sha256 == sha256)
        if entry.state is not State.REVERTED:
            revert(process, entry, ledger, terms)
        print(entry.state, flush=True)
"""


def _kill_midway(target: Target, file: Path, state: Path, delay_s: float) -> None:
    patcher = subprocess.Popen(
        [sys.executable, "-c", _PATCHER, str(target.pid), str(file), str(state)],
        stdout=subprocess.PIPE,
    )
    assert patcher.stdout is not None
    assert patcher.stdout.readline() == b"ready\n"
    time.sleep(delay_s)
    assert patcher.poll() is None
    patcher.send_signal(signal.SIGKILL)
    patcher.wait()
    patcher.stdout.close()


def _free(target: Target) -> bool:
    return target.tracer() == 0 and all(
        field(target.pid, tid, "State")[:1] in "SRD" for tid in threads(target.pid)
    )


@pytest.mark.parametrize("words", [("threads", "4", "call"), ("signals",)], ids=" ".join)
def test_the_target_survives(words: tuple[str, ...], tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    patch = hotpatch("answer", "other")
    file = tmp_path / "victim.hotpatch"
    file.write_bytes(encode(patch))
    seen = {1: 0, 2: 0}
    with running(*words) as target:
        for round_ in range(ROUNDS):
            state = tmp_path / f"state{round_ // 8}"
            _kill_midway(target, file, state, chance.uniform(0.0, 0.02))
            assert eventually(lambda: _free(target), 2), f"round {round_}"
            seen[target.ask()] += 1
            # The next run finds the ledger as it was left, and brings the process to rest.
            ledger = Ledger(state)
            with LinuxProcess(target.pid) as process, ledger.locked():
                entries = ledger.of(process.identity)
                for entry in entries:
                    assert in_place(process, entry) or untouched(process, entry)
                    outcome = revert(process, entry, ledger, Terms(budget_ms=500))
                    assert outcome.kind in (OutcomeKind.REVERTED, OutcomeKind.ALREADY)
                assert target.ask() == 1
    print(f"old {seen[1]}, new {seen[2]}")


def test_after_the_kill_the_hotpatch_can_be_applied(tmp_path: Path) -> None:
    """An intent on record, and nothing done, is no obstacle; nor is everything done."""
    patch = hotpatch("answer")
    file = tmp_path / "victim.hotpatch"
    file.write_bytes(encode(patch))
    with running("idle") as target:
        for delay_s in (0.0, 0.002, 0.005, 0.01):
            _kill_midway(target, file, tmp_path / "state", delay_s)
            ledger = Ledger(tmp_path / "state")
            with LinuxProcess(target.pid) as process, ledger.locked():
                sha256 = ledger.keep(file.read_bytes())
                outcome = apply(process, patch, sha256, ledger, Terms())
                assert outcome.kind in (OutcomeKind.APPLIED, OutcomeKind.ALREADY)
                assert target.ask() == 2
                (entry,) = ledger.of(process.identity)
                revert(process, entry, ledger, Terms())
                assert ledger.of(process.identity)[0].state is State.REVERTED
