"""How long a process is stopped, beside what no patcher that stops it can beat.

    scripts/bench surgery [--rounds N]

Freeze: first interrupt to last detach. The floor (victims/floor.c) stops every thread, writes one
word and lets go, in the same process, just before; once with ordinary priority, once with the
real-time priority that the stop window has, too. Gap: for how long a thread of the process that
watches the clock was kept from running, during an apply, during one with --consistency no-stop,
and during as long without a patcher.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from tests.surgery import workshop

from hotmend.hotpatch.codec import encode
from hotmend.model.outcome import Outcome, OutcomeKind
from hotmend.surgery.apply import apply
from hotmend.surgery.ledger import Ledger
from hotmend.surgery.linux import LinuxProcess
from hotmend.surgery.publishing import Consistency, Terms
from hotmend.surgery.revert import revert
from victims import program

ROWS = (
    (1, "idle", 1.0),
    (16, "idle", 2.0),
    (16, "saturated", None),
    (16, "spinning", None),
    (128, "idle", 8.0),
    (128, "saturated", 40.0),
    (128, "spinning", 600.0),
)
PROCESSES = 50
PROCESSES_GOAL_MS = 90
TERMS = Terms(budget_ms=10_000, patience_s=60)
UNSTOPPED = replace(TERMS, consistency=Consistency.NO_STOP)
HOTPATCH = workshop.hotpatch("answer", independent=True)


def main() -> None:
    words = argparse.ArgumentParser(description="freeze and wall time of an apply")
    words.add_argument("--rounds", type=int, default=15)
    rounds = words.parse_args().rounds
    print(
        "| threads | floor ms | floor, real-time ms | freeze ms (p95) | × real-time floor "
        "| goal ms | freeze, Python window ms | apply wall ms | revert freeze ms | gap ms (max) "
        "| gap, no-stop ms | gap, no patcher ms |"
    )
    print("|---" * 12 + "|")
    for threads, temper, goal in ROWS:
        print(row(threads, temper, goal, rounds), flush=True)
    print()
    print("| | median ms | goal ms |")
    print("|---|---|---|")
    for line in crowd_of_processes(rounds):
        print(line)


def row(threads: int, temper: str, goal: float | None, rounds: int) -> str:
    with (
        tempfile.TemporaryDirectory() as folder,
        workshop.running("crowd", str(threads), temper, path=program("crowd")) as target,
    ):
        ledger = Ledger(Path(folder))
        sha256 = ledger.keep(encode(HOTPATCH))
        time.sleep(0.3)
        floor = _floor(target.pid, rounds, "ordinary")
        realtime = _floor(target.pid, rounds, "realtime")
        cycles = [_cycle(target, ledger, sha256) for _ in range(rounds)]
        os.environ["HOTMEND_WINDOW"] = "python"
        slow = [_cycle(target, ledger, sha256)[0] for _ in range(max(3, rounds // 3))]
        del os.environ["HOTMEND_WINDOW"]
    with (  # code that a stop has written into is not exchanged: another process
        tempfile.TemporaryDirectory() as folder,
        workshop.running("crowd", str(threads), temper, path=program("crowd")) as target,
    ):
        ledger = Ledger(Path(folder))
        sha256 = ledger.keep(encode(HOTPATCH))
        time.sleep(0.3)
        calm = [_cycle(target, ledger, sha256, UNSTOPPED)[3] for _ in range(rounds)]
    freezes, walls, reverts, gaps, alone = zip(*cycles, strict=True)
    middle = statistics.median
    cells = (
        f"{threads} {temper}",
        f"{middle(floor):.2f}",
        f"{middle(realtime):.2f}",
        f"**{middle(freezes):.2f}** ({_high(freezes):.2f})",
        f"{middle(freezes) / middle(realtime):.1f}",
        f"{goal or '-'}",
        f"{middle(slow):.1f}",
        f"{middle(walls):.1f}",
        f"{middle(reverts):.2f}",
        f"{middle(gaps):.2f} ({max(gaps):.1f})",
        f"{middle(calm):.2f} ({max(calm):.1f})",
        f"{middle(alone):.2f} ({max(alone):.1f})",
    )
    return f"| {' | '.join(cells)} |"


def _cycle(
    target: workshop.Target, ledger: Ledger, sha256: str, terms: Terms = TERMS
) -> tuple[float, float, float, float, float]:
    """(freeze, wall, freeze of the revert, gap, gap without a patcher) in ms."""
    with LinuxProcess(target.pid) as process:
        target.ask("gap")
        began = time.monotonic()
        done = apply(process, HOTPATCH, sha256, ledger, terms)
        wall = time.monotonic() - began
        gap = target.ask("gap") / 1e6
        pause = _pause(done, OutcomeKind.APPLIED)
        assert target.ask() == 2
        entry = ledger.of(process.identity)[0]
        undone = _pause(revert(process, entry, ledger, TERMS), OutcomeKind.REVERTED)
        assert target.ask() == 1
        target.ask("gap")
        time.sleep(wall)
        return pause, wall * 1e3, undone, gap, target.ask("gap") / 1e6


def crowd_of_processes(rounds: int) -> list[str]:
    """One command for many processes, and the list of what is patched."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        file = Path(folder) / "victim.hotpatch"
        file.write_bytes(encode(HOTPATCH))
        targets = [stack.enter_context(workshop.running("idle")) for _ in range(PROCESSES)]
        pids = [word for target in targets for word in ("--pid", str(target.pid))]
        environment = os.environ | {"HOTMEND_STATE": folder}

        def hotmend(*words: str) -> float:
            began = time.monotonic()
            subprocess.run(
                [str(Path(sys.executable).with_name("hotmend")), *words],
                check=True,
                capture_output=True,
                env=environment,
            )
            return (time.monotonic() - began) * 1e3

        applies, lists = [], []
        for _ in range(max(3, rounds // 2)):
            applies.append(hotmend("apply", str(file), *pids))
            lists.append(hotmend("status"))
            hotmend("revert", str(file), *pids)
        nothing = [hotmend("--version") for _ in range(5)]
    middle = statistics.median
    return [
        f"| {PROCESSES} processes, one command | {middle(applies):.0f} | {PROCESSES_GOAL_MS} |",
        f"| list them (`hotmend status`) | {middle(lists):.0f} | 50 |",
        f"| `hotmend --version`, the interpreter's own start | {middle(nothing):.0f} | |",
        f"| one-function package, bytes | {len(encode(HOTPATCH))} | 2048 |",
    ]


def _pause(outcome: Outcome, wanted: OutcomeKind) -> float:
    if outcome.kind is not wanted or outcome.pause_ms is None:
        raise SystemExit(f"not {wanted}: {outcome}")
    return outcome.pause_ms


def _floor(pid: int, rounds: int, priority: str) -> list[float]:
    with LinuxProcess(pid) as process:
        address = workshop.range_of(process, "answer").start // 8 * 8
    run = subprocess.run(
        [str(program("floor")), str(pid), hex(address), str(rounds), priority],
        check=True,
        capture_output=True,
        text=True,
    )
    return [int(line) / 1e6 for line in run.stdout.split()]


def _high(values: tuple[float, ...]) -> float:
    return sorted(values)[int(len(values) * 0.95)]


if __name__ == "__main__":
    main()
