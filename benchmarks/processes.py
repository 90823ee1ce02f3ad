"""Many processes in one command, while others fork, exec and exit.

    scripts/bench processes [--count 1000]

Every process of the crowd must end in an outcome, run the fixed code, and be alive. Afterwards the
warm figure: a surgeon that is already there, and 50 processes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from tests.surgery import workshop

from hotmend.hotpatch.codec import encode
from hotmend.surgery.ledger import Ledger
from hotmend.surgery.order import Order, Verb
from hotmend.surgery.surgeon import hire

PATCH = workshop.hotpatch("answer")
DATA = encode(PATCH)
CHURN = "while :; do {idle} </dev/null >/dev/null; {idle} </dev/null | cat >/dev/null; done"


def crowd(count: int) -> tuple[Counter[str], int, float]:
    """(outcomes of the crowd, how many of it died, seconds)."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        file = Path(folder) / "victim.hotpatch"
        file.write_bytes(DATA)
        targets = [stack.enter_context(workshop.running("idle")) for _ in range(count)]
        stack.enter_context(workshop.running("forks"))
        for _ in range(2):
            words = ["sh", "-c", CHURN.format(idle=workshop.program("idle"))]
            churn = subprocess.Popen(words, start_new_session=True)
            stack.callback(os.killpg, churn.pid, 9)
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "hotmend.cli.main", "apply", str(file), "--all", "--json"],
            env=os.environ | {"HOTMEND_STATE": folder},
            stdout=subprocess.PIPE,
            text=True,
        )
        seconds = time.monotonic() - began
        outcomes = {o["pid"]: o["outcome"] for o in json.loads(done.stdout)["outcomes"]}
        dead = sum(target.process.poll() is not None for target in targets)
        wrong = sum(target.ask() != 2 for target in targets)
        kinds = Counter(outcomes.get(target.pid, "no outcome") for target in targets)
        kinds["run the old code"] += wrong
        return kinds, dead, seconds


def warm(processes: int, rounds: int) -> float:
    """Milliseconds for an order to a surgeon that is there already; the median."""
    times = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        targets = [stack.enter_context(workshop.running("idle")) for _ in range(processes)]
        order = Order(
            Verb.APPLY,
            tuple(target.pid for target in targets),
            hashlib.sha256(DATA).hexdigest(),
            tuple(image.old_build_id.hex for image in PATCH.images),
        )
        back = Order(Verb.REVERT, order.pids, order.sha256, order.builds)
        with hire(Ledger(Path(folder))) as surgeon:
            for _ in range(rounds):
                began = time.monotonic()
                answers = list(surgeon.perform(order, DATA))
                times.append((time.monotonic() - began) * 1000)
                assert len(answers) == processes + 1
                assert all(target.ask() == 2 for target in targets)
                list(surgeon.perform(back, DATA))
    return statistics.median(times[1:])


def main() -> None:
    words = argparse.ArgumentParser(description="many processes in one command")
    words.add_argument("--count", type=int, default=1000)
    count = words.parse_args().count
    kinds, dead, seconds = crowd(count)
    print(f"{count} processes, one command, while others come and go: {seconds:.2f} s")
    print(f"outcomes: {dict(kinds)}; dead: {dead}")
    print(f"50 processes, the surgeon already there: {warm(50, 11):.0f} ms (goal 90)", flush=True)
    sys.exit(bool(dead or kinds["run the old code"] or kinds["no outcome"]))


if __name__ == "__main__":
    main()
