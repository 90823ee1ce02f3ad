"""A server of 128 threads under load, patched and reverted again and again.

    scripts/bench endurance [--cycles 10000] [--threads 128]

wrk keeps connections busy from the first cycle to the last. Counted: requests that failed, and
resident memory and mappings of the server after a tenth of the cycles and at the end.
"""

from __future__ import annotations

import argparse
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.surgery import workshop

from hotmend.hotpatch.codec import encode
from hotmend.model.outcome import OutcomeKind
from hotmend.surgery.apply import apply
from hotmend.surgery.ledger import Ledger
from hotmend.surgery.linux import LinuxProcess
from hotmend.surgery.publishing import Terms
from hotmend.surgery.revert import revert
from victims import program

TERMS = Terms(budget_ms=200, patience_s=30)
CONNECTIONS = 64


@dataclass(frozen=True)
class Endured:
    """``sizes``: (resident KiB, mappings) after a tenth of the cycles, and at the end."""

    requests: int
    failed: int
    sizes: tuple[tuple[int, int], tuple[int, int]]
    pauses_ms: list[float]
    seconds: float


def endure(cycles: int, threads: int) -> Endured:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    patch = workshop.hotpatch("answer")
    server = workshop.running("httpd", str(port), str(threads), path=program("httpd"))
    with server as target, tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder))
        digest = ledger.keep(encode(patch))
        load = subprocess.Popen(
            ["wrk", "-t1", f"-c{CONNECTIONS}", "-d24h", f"http://127.0.0.1:{port}/"],
            stdout=subprocess.PIPE,
            text=True,
        )
        time.sleep(0.5)
        began = time.monotonic()
        pauses, sizes = [], []
        with LinuxProcess(target.pid) as process:
            for cycle in range(cycles):
                done = apply(process, patch, digest, ledger, TERMS)
                assert done.kind is OutcomeKind.APPLIED, done
                (entry,) = ledger.of(process.identity)
                undone = revert(process, entry, ledger, TERMS)
                assert undone.kind is OutcomeKind.REVERTED, undone
                pauses += [done.pause_ms or 0.0, undone.pause_ms or 0.0]
                if cycle in (cycles // 10, cycles - 1):
                    sizes.append(_size(target.pid))
        seconds = time.monotonic() - began
        load.send_signal(2)
        said = load.communicate(timeout=30)[0]
        assert target.ask() == 1
    return Endured(*_requests(said), (sizes[0], sizes[-1]), pauses, seconds)


def _requests(said: str) -> tuple[int, int]:
    """(requests, failed) of wrk's report."""
    total = re.search(r"(\d+) requests in", said)
    assert total is not None, said
    errors = re.search(
        r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said
    )
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    failed = sum(map(int, errors.groups())) if errors else 0
    return int(total[1]), failed + (int(wrong[1]) if wrong else 0)


def _size(pid: int) -> tuple[int, int]:
    return (
        int(workshop.field(pid, pid, "VmRSS").split()[0]),
        len(Path(f"/proc/{pid}/maps").read_text().splitlines()),
    )


def main() -> None:
    words = argparse.ArgumentParser(description="patched and reverted under load")
    words.add_argument("--cycles", type=int, default=10_000)
    words.add_argument("--threads", type=int, default=128)
    given = words.parse_args()
    result = endure(given.cycles, given.threads)
    (rss, maps), (rss_end, maps_end) = result.sizes
    print("| cycles | seconds | requests | failed | resident KiB | mappings | pause ms (p99) |")
    print("|---|---|---|---|---|---|---|")
    pauses = sorted(result.pauses_ms)
    print(
        f"| {given.cycles} | {result.seconds:.0f} | {result.requests:,} | {result.failed} "
        f"| {rss} → {rss_end} | {maps} → {maps_end} "
        f"| {statistics.median(pauses):.2f} ({pauses[int(len(pauses) * 0.99)]:.2f}) |"
    )
    flat = abs(rss_end - rss) <= rss / 100 and abs(maps_end - maps) <= maps / 100
    sys.exit(bool(result.failed) or not flat)


if __name__ == "__main__":
    main()
