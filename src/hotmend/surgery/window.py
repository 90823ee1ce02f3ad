"""The stop window in Python: slower than the C one, for where that could not be built.

Same order, same checks, same promises: every thread that was seized is let go on every way out,
at the latest by the kernel, when the thread that did the seizing ends.
"""

from __future__ import annotations

import errno
import os
import struct
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from hotmend.model.outcome import BlockedBy
from hotmend.surgery import procfs, ptrace
from hotmend.surgery.errors import NotPermitted
from hotmend.surgery.process import Attempt, Ending, Publication, Range
from hotmend.surgery.unwind import Frame, Unwinder

_STACK_CHUNK = 64 << 10
_STACK_MOST = 64 << 20
_STACKS_MOST = 8
# What the kernel saves of the segment selectors in every 64-bit signal frame (cs 0x33, ss 0x2b);
# the stack pointer of what was interrupted lies 24 bytes before.
_SIGNAL_FRAME_SELECTORS = 0x002B000000000033
_SELECTORS_TO_RSP = 24
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
    """What the window needs of a process: ``memory`` is an open /proc/PID/mem; ``stacks``: (start,
    end) of writable mappings, ascending; ``label`` turns an address into "module+offset"."""

    pid: int
    memory: int
    stacks: Sequence[tuple[int, int]]
    unwinder: Unwinder
    label: Callable[[int], str]


@dataclass
class _Thread:
    tid: int
    stopped: bool = False
    interrupted: bool = False
    dead: bool = False
    deliver: int = 0


class _Budget(Exception):
    """Time is up; ``tid`` is the thread that was waited for."""

    def __init__(self, tid: int) -> None:
        super().__init__()
        self.tid = tid


def publish(target: Target, publication: Publication) -> Attempt:
    """One stop window. Raises NotPermitted."""
    return ptrace.apart(lambda: _publish(target, publication))


def _publish(target: Target, publication: Publication) -> Attempt:
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
    return replace(attempt, pause_ms=pause_ms)


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
        alive = [thread for thread in self.threads.values() if not thread.dead]
        if not alive:
            return Attempt(Ending.GONE, 0.0, 0)
        for thread in alive:
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
                self._note(thread)
            with ptrace.no_such_process_is_fine():
                if thread.stopped:
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
        for thread in self.threads.values():
            while not thread.stopped and not thread.dead:
                self._note(thread)
                if not thread.stopped and not thread.dead:
                    if time.monotonic() > self._deadline:
                        raise _Budget(thread.tid)
                    time.sleep(0.00002)

    def _note(self, thread: _Thread) -> None:
        news = ptrace.look(thread.tid)
        if news is None:
            return
        why, number = news
        if why is ptrace.Stop.GONE:
            thread.dead = True
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
        hits = self._hits(int(registers.rsp))
        if not hits:
            return None
        frames, complete = self._frames(pc, registers)
        if complete:
            slots = {frame.slot for frame in frames}
            hits = [(slot, value) for slot, value in hits if slot in slots]
        if not hits:
            return None
        found = self._range_at(hits[0][1] - 1)
        name = found.name if found is not None else "?"
        return BlockedBy(thread.tid, name, self._labels(frames))

    def _range_at(self, address: int) -> Range | None:
        at = bisect_right(self._starts, address) - 1
        if at >= 0 and address < self._affected[at].end:
            return self._affected[at]
        return None

    def _hits(self, rsp: int) -> list[tuple[int, int]]:
        """(slot, value) of every word on the live stacks that may be a return address into an
        affected range: the byte before it, where the call is, lies in one."""
        low, high = self._affected[0].start, self._affected[-1].end
        found: list[tuple[int, int]] = []
        stacks = [(rsp & ~7, self._stack_end(rsp))]
        for start, end in stacks:
            at = start
            while at < end:
                wanted = min(_STACK_CHUNK, end - at)
                data = self._stack(at, wanted)
                words = struct.unpack(f"<{len(data) // 8}Q", data[: len(data) // 8 * 8])
                found += [
                    (at + 8 * i, word)
                    for i, word in enumerate(words)
                    if low < word <= high and self._range_at(word - 1) is not None
                ]
                if _SIGNAL_FRAME_SELECTORS in words:
                    self._follow(at, words, stacks)
                at += len(words) * 8
                if time.monotonic() > self._deadline:
                    raise _Budget(0)
                if len(data) < wanted:
                    break
        return found

    def _follow(self, at: int, words: Sequence[int], stacks: list[tuple[int, int]]) -> None:
        """A signal handler may run on a stack of its own: go on where the interrupted one is."""
        for i, word in enumerate(words):
            if word != _SIGNAL_FRAME_SELECTORS or len(stacks) == _STACKS_MOST:
                continue
            saved = self._stack(at + 8 * i - _SELECTORS_TO_RSP, 8)
            sp = int.from_bytes(saved, "little")
            if len(saved) == 8 and not any(start <= sp < end for start, end in stacks):
                stacks.append((sp & ~7, self._stack_end(sp)))

    def _stack_end(self, sp: int) -> int:
        """The end of its mapping; one that was mapped or has grown since is read as far as it
        goes."""
        at = bisect_right(self._target.stacks, (sp, 1 << 64)) - 1
        if at >= 0 and sp < self._target.stacks[at][1]:
            return min(self._target.stacks[at][1], sp + _STACK_MOST)
        following = self._target.stacks[at + 1 : at + 2]
        return following[0][1] if following else sp

    def _stack(self, at: int, size: int) -> bytes:
        try:
            return os.pread(self._target.memory, size, at)
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
            if not seen:  # it called exec, and the memory we know is no more
                return Attempt(Ending.GONE, 0.0, len(self.threads))
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
        text = procfs.text(f"{pid}/task/{tid}/stat")
    except OSError:
        return True
    return text.rpartition(")")[2].split()[0] in "ZX"
