"""kill -9, and failing system calls, at every step of apply, revert and verify.

    scripts/bench faults [--targets idle,mdwe,...] [--rounds N] [--calls ptrace,...] [--errors]
                         [--most N] [--commit-point N]

strace's fault injection counts system calls by name: for every name that the work uses, and every
k, the process that is about to make its k-th such call is killed (or the call fails). After each:
is the target alive, free, untraced, exactly old or exactly new; and does the next run converge?

Whoever makes the call is killed: the command, the surgeon, the lender, or the helper that holds
the target's threads, whichever it is. ``--most``: where a call is made more often, N of its k,
evenly spread. ``--commit-point``: only the writes of a revert's two detours, N times.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.surgery import workshop

from hotmend.hotpatch.codec import encode

TARGETS = {
    "idle": ("idle",),
    "128 threads": ("threads", "128", "idle"),
    "strict seccomp": ("seccomp_strict",),
    "MDWE": ("mdwe",),
    "in system calls": ("syscalls",),
}
# What the interpreter's own start does not do, or hardly: each of these is a step of the work.
CALLS = (
    *("ptrace", "waitid", "pwrite64", "process_vm_readv", "clone", "fork", "rename", "fsync"),
    *("timer_settime", "getdents64", "flock", "sendmsg", "recvmsg", "sendto", "recvfrom"),
    *("memfd_create", "pidfd_open", "kill", "unlink", "mkdir", "capset", "seccomp", "prctl"),
)
EVERY = 1 << 30
ERRORS = ("EPERM", "ESRCH", "EIO", "ENOMEM", "EINTR", "EAGAIN", "ENOSPC")
PATCH = workshop.hotpatch("answer", "other")


@dataclass
class Tally:
    """What became of the targets. ``worst``: what to repeat to see a failure again."""

    runs: Counter[str] = field(default_factory=Counter)
    worst: list[str] = field(default_factory=list)

    def note(self, kind: str, what: str) -> None:
        self.runs[kind] += 1
        if kind not in ("old", "new"):
            self.worst.append(f"{kind}: {what}")


def sweep(
    target: str, calls: tuple[str, ...], rounds: int, faults: tuple[str, ...], most: int = EVERY
) -> Tally:
    """Every (call, k) of every verb, each fault ("KILL" or an errno), ``rounds`` times; at most
    ``most`` k of each call."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "victim.hotpatch"
        file.write_bytes(encode(PATCH))
        for verb in ("apply", "revert", "verify"):
            counts = _calls_of(verb, target, file, Path(folder))
            for call in calls:
                for k in _spread(counts[call], most):
                    for fault in faults:
                        for _ in range(rounds):
                            _one(verb, target, file, Path(folder), call, k, fault, tally)
    return tally


def commit_point(rounds: int) -> Tally:
    """kill -9 before the first, and between the first and the second write of a revert."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "victim.hotpatch"
        file.write_bytes(encode(PATCH))
        for round_ in range(rounds):
            which = 1 + round_ % 2
            _one("revert", "idle", file, Path(folder), "pwrite64", which, "KILL", tally)
    return tally


def _spread(count: int, most: int) -> list[int]:
    """1 to ``count``, or ``most`` of them."""
    if count <= most:
        return list(range(1, count + 1))
    return sorted({1 + round(i * (count - 1) / (most - 1)) for i in range(most)})


def _one(
    verb: str, target: str, file: Path, folder: Path, call: str, k: int, fault: str, tally: Tally
) -> None:
    injected = f"signal={fault}" if fault == "KILL" else f"error={fault}"
    what = f"{target}: {verb}, {call} {k}, {fault}"
    state = Path(tempfile.mkdtemp(dir=folder))
    with workshop.running(*TARGETS[target]) as victim:
        if verb != "apply":
            _hotmend(state, "apply", str(file), "--pid", str(victim.pid))
        trace = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}")
        trace += ("-e", f"inject={call}:{injected}:when={k}")
        done = _hotmend(state, *_words(verb, file, victim), before=trace)
        # The interpreter itself may fail to start; what it says then is not ours.
        started = "Fatal Python error" not in done.stderr
        if fault != "KILL" and started and "Traceback" in done.stderr:
            tally.note("traceback", what)
        if not workshop.eventually(lambda: _is_free(victim), 3):
            tally.note("dead" if victim.process.poll() is not None else "held", what)
            return
        said, memory = _answer(victim, target), _memory(victim.pid)
        if said is None or memory == "mixed" or memory != said:
            tally.note("dead" if said is None else "mixed", f"{what} ({said}, {memory})")
            return
        tally.note(said, what)
        again = _hotmend(state, *_words(verb, file, victim))
        wanted = "old" if verb == "revert" else "new"
        if again.returncode or _memory(victim.pid) != wanted:
            tally.note("not converged", f"{what}: {again.stdout}{again.stderr}")


def _calls_of(verb: str, target: str, file: Path, folder: Path) -> Counter[str]:
    """The most of each system call that one process makes."""
    log = folder / "calls"
    state = Path(tempfile.mkdtemp(dir=folder))
    with workshop.running(*TARGETS[target]) as victim:
        if verb != "apply":
            _hotmend(state, "apply", str(file), "--pid", str(victim.pid))
        trace = ("strace", "-ff", "-qq", "-o", str(log), "-e", f"trace={','.join(CALLS)}")
        _hotmend(state, *_words(verb, file, victim), before=trace)
    most: Counter[str] = Counter()
    for path in folder.glob("calls.*"):
        made = Counter(re.findall(r"^(\w+)\(", path.read_text(errors="replace"), re.MULTILINE))
        most |= made
        path.unlink()
    return most


def _words(verb: str, file: Path, victim: workshop.Target) -> tuple[str, ...]:
    package = () if verb == "verify" else (str(file),)
    return (verb, *package, "--pid", str(victim.pid))


def _hotmend(
    state: Path, *words: str, before: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, sys.executable, "-m", "hotmend.cli.main", *words],
        env=os.environ | {"HOTMEND_STATE": str(state)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def _is_free(victim: workshop.Target) -> bool:
    if victim.process.poll() is not None:
        return False
    states = {workshop.field(victim.pid, t, "State")[:1] for t in workshop.threads(victim.pid)}
    return victim.tracer() == 0 and states <= {*"SRD", ""}


def _answer(victim: workshop.Target, target: str) -> str | None:
    """Which code it runs, by its own word; None when it does not answer."""
    with suppress(OSError, AssertionError, ValueError):
        return {1: "old", 2: "new"}.get(victim.ask("answer"), "mixed")
    return None


def _memory(pid: int) -> str:
    """Which code it has: "old", "new", or "mixed" when its two functions differ in that."""
    with workshop.LinuxProcess(pid) as process:
        jumps = {
            process.read(workshop.range_of(process, name).start, 1) == b"\xe9"
            for name in ("answer", "other")
        }
    return "mixed" if len(jumps) == 2 else "new" if jumps == {True} else "old"


def main() -> None:
    words = argparse.ArgumentParser(description="faults at every step")
    words.add_argument("--targets", default=",".join(TARGETS))
    words.add_argument("--calls", default=",".join(CALLS))
    words.add_argument("--rounds", type=int, default=1)
    words.add_argument("--errors", action="store_true", help="failing calls instead of kill -9")
    words.add_argument("--most", type=int, default=EVERY)
    words.add_argument("--commit-point", type=int, metavar="N")
    given = words.parse_args()
    faults = ERRORS if given.errors else ("KILL",)
    print("| target | runs | old | new | dead | held | mixed | not converged | seconds |")
    print("|---|---|---|---|---|---|---|---|---|")
    worst = []
    targets = ["the commit point"] if given.commit_point else given.targets.split(",")
    for target in targets:
        began = time.monotonic()
        if given.commit_point:
            tally = commit_point(given.commit_point)
        else:
            calls = tuple(given.calls.split(","))
            tally = sweep(target, calls, given.rounds, faults, given.most)
        kinds = ("old", "new", "dead", "held", "mixed", "not converged")
        counts = " | ".join(str(tally.runs[kind]) for kind in kinds)
        runs = sum(n for kind, n in tally.runs.items() if kind != "not converged")
        print(f"| {target} | {runs} | {counts} | {time.monotonic() - began:.0f} |", flush=True)
        worst += tally.worst
    for line in worst:
        print(line)
    sys.exit(bool(worst))


if __name__ == "__main__":
    main()
