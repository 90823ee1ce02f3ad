"""kill -9, and failing system calls, at every step of apply, revert and verify.

    scripts/bench faults [--targets idle,mdwe,...] [--rounds N] [--calls ptrace,...] [--errors]
                         [--verbs apply,...] [--most N] [--part I/N] [--commit-point N]

strace's fault injection counts system calls by name: for every name that the work uses, and every
k, the process that is about to make its k-th such call is killed (or the call fails). After each:
is the target alive, free, untraced, exactly old or exactly new; and does the next run converge?

Whoever makes the call is killed: the command, the surgeon, the lender, or the helper that holds
the target's threads, whichever it is. ``--most``: where a call is made more often, N of its k,
evenly spread. ``--part``: every N-th k, from the I-th on: a run waits more than it works, so that
parts may run side by side. ``--commit-point``: only the writes of a revert's two detours, N times.

An errno comes again in every attempt of a command, each with a helper of its own: with --errors its
patience is short, so that there are a few attempts and not fifty. A command is forked from a
process that has everything imported, and waits until strace has it: calls are counted from its
first own step, and a run costs no start of an interpreter.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.surgery import workshop

from forked import Commands, commands
from hotmend.hotpatch.codec import encode

TARGETS = {
    "idle": ("idle",),
    "128 threads": ("threads", "128", "idle"),
    "strict seccomp": ("seccomp_strict",),
    "MDWE": ("mdwe",),
    "in system calls": ("syscalls",),
}
# Each of these is a step of the work.
CALLS = (
    *("ptrace", "waitid", "pwrite64", "process_vm_readv", "process_vm_writev", "clone", "fork"),
    *("rename", "renameat2", "unlink", "mkdir", "fsync", "flock", "getdents64", "timer_settime"),
    *("sendmsg", "recvmsg", "sendto", "recvfrom", "memfd_create", "pidfd_open", "kill"),
    *("capset", "seccomp", "prctl", "unshare"),
)
VERBS = ("apply", "revert", "verify")
EVERY = 1 << 30
ERRORS = ("EPERM", "ESRCH", "EIO", "ENOMEM", "EINTR", "EAGAIN", "ENOSPC")
PATCH = workshop.hotpatch("answer", "other")
_IMPATIENT = ("--patience", "0.3")


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
    target: str,
    calls: tuple[str, ...],
    rounds: int,
    faults: tuple[str, ...],
    most: int = EVERY,
    verbs: tuple[str, ...] = VERBS,
    part: tuple[int, int] = (1, 1),
) -> Tally:
    """Every (call, k) of every verb, each fault ("KILL" or an errno), ``rounds`` times; at most
    ``most`` k of each call, and of those the part (which, of how many)."""
    tally = Tally()
    with theatre() as room:
        for verb in verbs:
            counts = room.calls_of(verb, target)
            for call in calls:
                for k in _spread(counts[call], most)[part[0] - 1 :: part[1]]:
                    for fault in faults:
                        for _ in range(rounds):
                            room.try_out(verb, target, call, k, fault, tally)
    return tally


def commit_point(rounds: int) -> Tally:
    """kill -9 before the first, and between the first and the second write of a revert."""
    tally = Tally()
    with theatre() as room:
        for round_ in range(rounds):
            room.try_out("revert", "idle", "pwrite64", 1 + round_ % 2, "KILL", tally)
    return tally


def _spread(count: int, most: int) -> list[int]:
    """1 to ``count``, or ``most`` of them."""
    if count <= most:
        return list(range(1, count + 1))
    return sorted({1 + round(i * (count - 1) / (most - 1)) for i in range(most)})


@dataclass(frozen=True)
class Theatre:
    """Where faults are tried out: a folder with the hotpatch, and the commands."""

    folder: Path
    commands: Commands

    def try_out(self, verb: str, target: str, call: str, k: int, fault: str, tally: Tally) -> None:
        """One fault, in one run of one verb, on a fresh target."""
        injected = f"signal={fault}" if fault == "KILL" else f"error={fault}"
        what = f"{target}: {verb}, {call} {k}, {fault}"
        trace = ("-f", "-o", "/dev/null", "-e", f"trace={call}")
        trace += ("-e", f"inject={call}:{injected}:when={k}")
        with self._scene(verb, target) as (victim, state):
            impatient = _IMPATIENT if fault != "KILL" and verb != "verify" else ()
            _, said = self._perform(state, verb, victim, trace, impatient)
            if fault != "KILL" and "Traceback" in said:
                tally.note("traceback", what)
            if not workshop.eventually(lambda: _is_free(victim), 3):
                tally.note("dead" if victim.process.poll() is not None else "held", what)
                return
            answer, memory = _answer(victim), _memory(victim.pid)
            if answer is None or memory == "mixed" or memory != answer:
                tally.note("dead" if answer is None else "mixed", f"{what} ({answer}, {memory})")
                return
            tally.note(answer, what)
            code, said = self._perform(state, verb, victim)
            wanted = "old" if verb == "revert" else "new"
            if code or _memory(victim.pid) != wanted:
                tally.note("not converged", f"{what}: {said}")

    def calls_of(self, verb: str, target: str) -> Counter[str]:
        """The most of each system call that one process makes."""
        log = self.folder / "calls"
        trace = ("-ff", "-o", str(log), "-e", f"trace={','.join(CALLS)}")
        with self._scene(verb, target) as (victim, state):
            self._perform(state, verb, victim, trace)
        most: Counter[str] = Counter()
        for path in self.folder.glob("calls.*"):
            text = path.read_text(errors="replace")
            most |= Counter(re.findall(r"^(\w+)\(", text, re.MULTILINE))
            path.unlink()
        return most

    @contextmanager
    def _scene(self, verb: str, target: str) -> Iterator[tuple[workshop.Target, Path]]:
        """A running target, applied to where the verb needs it, and the state folder."""
        state = Path(tempfile.mkdtemp(dir=self.folder))
        with workshop.running(*TARGETS[target]) as victim:
            if verb != "apply":
                self._perform(state, "apply", victim)
            yield victim, state
        shutil.rmtree(state)

    def _perform(
        self,
        state: Path,
        verb: str,
        victim: workshop.Target,
        trace: tuple[str, ...] = (),
        options: tuple[str, ...] = (),
    ) -> tuple[int, str]:
        package = () if verb == "verify" else (str(self.folder / "victim.hotpatch"),)
        words = (verb, *package, "--pid", str(victim.pid), *options)
        return self.commands.run(state, *words, trace=trace)


@contextmanager
def theatre() -> Iterator[Theatre]:
    """One, for a while."""
    with tempfile.TemporaryDirectory() as folder, commands() as forked:
        (Path(folder) / "victim.hotpatch").write_bytes(encode(PATCH))
        yield Theatre(Path(folder), forked)


def _is_free(victim: workshop.Target) -> bool:
    if victim.process.poll() is not None:
        return False
    states = {workshop.field(victim.pid, t, "State")[:1] for t in workshop.threads(victim.pid)}
    return victim.tracer() == 0 and states <= {*"SRD", ""}


def _answer(victim: workshop.Target) -> str | None:
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
    words.add_argument("--verbs", default=",".join(VERBS))
    words.add_argument("--rounds", type=int, default=1)
    words.add_argument("--errors", action="store_true", help="failing calls instead of kill -9")
    words.add_argument("--most", type=int, default=EVERY)
    words.add_argument("--part", default="1/1", metavar="I/N")
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
            calls, verbs = tuple(given.calls.split(",")), tuple(given.verbs.split(","))
            which, parts = map(int, given.part.split("/"))
            tally = sweep(target, calls, given.rounds, faults, given.most, verbs, (which, parts))
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
