"""The stop window in Python: slower than the C one, and able to unwind.

It is asked where the C window found a suspicious word, and serves alone where the extension could
not be built. Same order, same promises: every thread that was seized is let go on every way out.
"""

from __future__ import annotations

import errno
import os
import struct
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hotmend.model.outcome import BlockedBy
from hotmend.surgery import ptrace
from hotmend.surgery.errors import NotPermitted
from hotmend.surgery.process import Attempt, Ending, Publication, Range
from hotmend.surgery.unwind import Frame, Unwinder

_STACK_CHUNK = 64 << 10
_STACK_MOST = 8 << 20
_DWARF = {
    3: "rbx",
    6: "rbp",
    7: "rsp",
    12: "r12",
    13: "r13",
    14: "r14",
    15: "r15",
    0: "rax",
    1: "rdx",
    2: "rcx",
    4: "rsi",
    5: "rdi",
    8: "r8",
    9: "r9",
    10: "r10",
    11: "r11",
}


@dataclass(frozen=True)
class Target:
    """What the window needs of a process: ``memory`` is an open /proc/PID/mem; ``label`` turns an
    address into "function or module+offset"."""

    pid: int
    memory: int
    unwinder: Unwinder
    label: Callable[[int], str]


@dataclass
class _Thread:
    tid: int
    stopped: bool = False
    interrupted: bool = False
    deliver: int = 0


class _Budget(Exception):
    """Time is up; ``tid`` is the thread that was waited for."""

    def __init__(self, tid: int) -> None:
        super().__init__()
        self.tid = tid


def publish(target: Target, publication: Publication) -> Attempt:
    """One stop window. Raises NotPermitted."""
    window = _Window(target, publication)
    try:
        attempt = window.run()
    except _Budget as late:
        blocked = BlockedBy(late.tid, "did not stop within the pause budget") if late.tid else None
        attempt = Attempt(Ending.BLOCKED, 0.0, len(window.threads), blocked, "pause budget used up")
    except ProcessLookupError:
        attempt = Attempt(Ending.GONE, 0.0, len(window.threads))
    except OSError as error:
        attempt = Attempt(Ending.FAILED, 0.0, len(window.threads), None, error.strerror or "")
    finally:
        pause_ms = window.release()
    return Attempt(attempt.ending, pause_ms, attempt.threads, attempt.blocked, attempt.detail)


class _Window:
    def __init__(self, target: Target, publication: Publication) -> None:
        self._target = target
        self._publication = publication
        self._affected = sorted(publication.affected, key=lambda r: r.start)
        self._starts = [r.start for r in self._affected]
        self.threads: dict[int, _Thread] = {}
        self._first_stop: float | None = None
        self._deadline = 0.0

    def run(self) -> Attempt:
        if not self._seize_new():
            return Attempt(Ending.GONE, 0.0, 0)
        self._first_stop = time.monotonic()
        self._deadline = self._first_stop + self._publication.budget_ms / 1000
        while True:
            self._interrupt()
            self._await_stops()
            if not self._seize_new():
                break
        if not self.threads:
            return Attempt(Ending.GONE, 0.0, 0)
        for thread in list(self.threads.values()):
            blocked = self._obstacle(thread)
            if blocked is not None:
                return Attempt(Ending.BLOCKED, 0.0, len(self.threads), blocked)
        if time.monotonic() > self._deadline:
            raise _Budget(0)
        return self._write()

    def release(self) -> float:
        """Let every thread go; the pause so far, in milliseconds."""
        for thread in self.threads.values():
            if not thread.stopped:
                if not thread.interrupted:
                    with ptrace.no_such_process_is_fine():
                        ptrace.interrupt(thread.tid)
                self._note(thread, ptrace.wait(thread.tid, block=True))
            with ptrace.no_such_process_is_fine():
                ptrace.detach(thread.tid, thread.deliver)
        ended = time.monotonic()
        return (ended - self._first_stop) * 1000 if self._first_stop is not None else 0.0

    def _seize_new(self) -> int:
        found = 0
        try:
            names = os.listdir(f"/proc/{self._target.pid}/task")  # noqa: PTH208 - in the window
        except OSError:
            return found
        for name in names:
            tid = int(name)
            if tid in self.threads:
                continue
            try:
                ptrace.seize(tid)
            except OSError as error:
                if error.errno == errno.ESRCH or _is_dead(self._target.pid, tid):
                    continue
                raise NotPermitted(
                    f"thread {tid} of process {self._target.pid} may not be traced: "
                    f"{error.strerror}"
                ) from None
            self.threads[tid] = _Thread(tid)
            found += 1
        return found

    def _interrupt(self) -> None:
        for thread in self.threads.values():
            if not thread.interrupted:
                thread.interrupted = True
                with ptrace.no_such_process_is_fine():
                    ptrace.interrupt(thread.tid)

    def _await_stops(self) -> None:
        for thread in list(self.threads.values()):
            while not thread.stopped and thread.tid in self.threads:
                self._note(thread, ptrace.wait(thread.tid, block=False))
                if not thread.stopped and thread.tid in self.threads:
                    if time.monotonic() > self._deadline:
                        raise _Budget(thread.tid)
                    time.sleep(0.00002)

    def _note(self, thread: _Thread, stopped: tuple[ptrace.Stop, int] | None) -> None:
        if stopped is None:
            return
        why, number = stopped
        if why is ptrace.Stop.GONE:
            self.threads = {tid: t for tid, t in self.threads.items() if tid != thread.tid}
            return
        thread.stopped = True
        if why is ptrace.Stop.SIGNAL:
            thread.deliver = number

    # The check.

    def _obstacle(self, thread: _Thread) -> BlockedBy | None:
        try:
            registers = ptrace.get_registers(thread.tid)
        except ProcessLookupError:
            return None
        pc = int(registers.rip)
        for write in self._publication.writes:
            start, end = write.changed
            if start < pc < end:
                return self._blocked(thread.tid, pc, registers, "the bytes of a detour")
        if not self._affected:
            return None
        here = self._range_at(pc)
        if here is not None:
            return self._blocked(thread.tid, pc, registers, here.name)
        hits = self._hits(thread.tid, int(registers.rsp))
        if not hits:
            return None
        frames, complete = self._frames(pc, registers)
        if complete:
            slots = {frame.slot for frame in frames}
            hits = [(slot, value) for slot, value in hits if slot in slots]
        if not hits:
            return None
        found = self._range_at(hits[0][1])
        name = found.name if found is not None else "?"
        return BlockedBy(thread.tid, name, self._labels(frames))

    def _range_at(self, address: int) -> Range | None:
        at = bisect_right(self._starts, address) - 1
        if at >= 0 and address < self._affected[at].end:
            return self._affected[at]
        return None

    def _hits(self, tid: int, rsp: int) -> list[tuple[int, int]]:
        """(slot, value) of every word on the live stack that lies in an affected range."""
        low, high = self._affected[0].start, self._affected[-1].end
        found = []
        at = rsp & ~7
        while at - rsp < _STACK_MOST:
            data = self._stack(at)
            words = struct.unpack(f"<{len(data) // 8}Q", data[: len(data) // 8 * 8])
            found += [
                (at + 8 * i, word)
                for i, word in enumerate(words)
                if low <= word < high and self._range_at(word) is not None
            ]
            at += len(data) // 8 * 8
            if len(data) < 8:
                return found
        return found

    def _stack(self, at: int) -> bytes:
        try:
            return os.pread(self._target.memory, _STACK_CHUNK, at)
        except OSError:
            return b""

    def _frames(self, pc: int, registers: ptrace.Registers) -> tuple[list[Frame], bool]:
        values = {number: int(getattr(registers, name)) for number, name in _DWARF.items()}
        return self._target.unwinder.unwind(pc, values)

    def _blocked(self, tid: int, pc: int, registers: ptrace.Registers, name: str) -> BlockedBy:
        frames, _ = self._frames(pc, registers)
        return BlockedBy(tid, name, self._labels(frames))

    def _labels(self, frames: Sequence[Frame]) -> tuple[str, ...]:
        return tuple(self._target.label(frame.address) for frame in frames[:32])

    # The writes.

    def _write(self) -> Attempt:
        memory, writes = self._target.memory, self._publication.writes
        for write in writes:
            seen = os.pread(memory, len(write.before), write.address)
            if seen != write.before:
                return Attempt(
                    Ending.BYTES_DIFFER,
                    0.0,
                    len(self.threads),
                    None,
                    f"{write.address:#x}: {seen.hex()} instead of {write.before.hex()}",
                )
        done = []
        try:
            for write in writes:
                os.pwrite(memory, write.after, write.address)
                done.append(write)
        except OSError:
            for write in reversed(done):
                os.pwrite(memory, write.before, write.address)
            raise
        return Attempt(Ending.PUBLISHED, 0.0, len(self.threads))


def _is_dead(pid: int, tid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/task/{tid}/stat").read_text()
    except OSError:
        return True
    return text.rpartition(")")[2].split()[0] in "ZX"
