"""A process in memory: the second implementation of the ``Process`` port, for rehearsals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hotmend.model.outcome import BlockedBy
from hotmend.surgery.errors import ProcessError, ProcessGone
from hotmend.surgery.process import Attempt, Ending, Identity, Mapping, Publication, boot_id

INODE = 4711


@dataclass(frozen=True)
class FakeThread:
    """``pc``: where it stands; ``returns``: the return addresses on its stack."""

    tid: int
    pc: int
    returns: tuple[int, ...] = ()


@dataclass
class FakeProcess:
    """``before`` is called with the name of each operation, "read", "write", "map_memory",
    "publish" and so on, before it happens: it may look, change things, or raise. ``pause_ms``: what
    each stop takes. ``foreign_pages``: where somebody else has put something."""

    identity: Identity = field(default_factory=lambda: Identity(100, 1, boot_id()))
    command: str = "fake"
    threads: list[FakeThread] = field(default_factory=lambda: [FakeThread(100, 0)])
    before: Callable[[str], None] = lambda _: None
    pause_ms: float = 0.1
    ended: bool = False
    foreign_pages: frozenset[int] = frozenset()
    _memory: dict[Mapping, bytearray] = field(default_factory=dict)

    def place(
        self, start: int, data: bytes, permissions: str = "r-xp", offset: int = 0, path: str = ""
    ) -> None:
        """Put a mapping there before the story begins; a file's when it has a ``path``."""
        inode = INODE if path else 0
        mapping = Mapping(start, start + len(data), permissions, offset, "00:00", inode, path)
        self._memory[mapping] = bytearray(data)

    def maps(self) -> tuple[Mapping, ...]:
        self._refuse_ended()
        return tuple(sorted(self._memory, key=lambda mapping: mapping.start))

    def read(self, address: int, size: int) -> bytes:
        self._begin("read")
        memory, at = self._at(address, size)
        return bytes(memory[at : at + size])

    def write(self, address: int, data: bytes) -> None:
        self._begin("write")
        self._put(address, data)

    def map_memory(self, address: int, size: int, *, writable: bool = False) -> None:
        self._begin("map_memory")
        if any(m.start < address + size and address < m.end for m in self._memory):
            raise ProcessError(f"process {self.identity.pid} has something at {address:#x}")
        self.place(address, bytes(size), "rw-p" if writable else "r-xp")

    def call_function(self, function: int, arguments: tuple[int, int]) -> bool:
        self._begin("call_function")
        return True

    def publish(self, publication: Publication) -> Attempt:
        self._begin("publish")
        if self.pause_ms > publication.budget_ms:
            return self._attempt(Ending.BLOCKED, None, "pause budget used up")
        blocked = self._in_the_way(publication)
        if blocked is not None:
            return self._attempt(Ending.BLOCKED, blocked)
        for write in publication.writes:
            memory, at = self._at(write.address, len(write.before))
            if memory[at : at + len(write.before)] != write.before:
                return self._attempt(Ending.BYTES_DIFFER, None, f"at {write.address:#x}")
        for write in publication.writes:
            self._put(write.address, write.after)
        return self._attempt(Ending.PUBLISHED, None)

    def may_exchange(self, address: int) -> bool:
        self._begin("may_exchange")
        return address not in self.foreign_pages

    def exchange_page(self, address: int, data: bytes, scratch: int) -> None:
        self._begin("exchange_page")
        self._put(address, data)

    def alive(self) -> bool:
        return not self.ended

    def _attempt(self, ending: Ending, blocked: BlockedBy | None, detail: str = "") -> Attempt:
        return Attempt(ending, self.pause_ms, len(self.threads), blocked, detail)

    def _in_the_way(self, publication: Publication) -> BlockedBy | None:
        """A thread in, or returning into, what is affected, or in the middle of what changes."""
        changed = [write.changed for write in publication.writes]
        for thread in self.threads:
            addresses: Sequence[int] = (thread.pc, *(address - 1 for address in thread.returns))
            stack = tuple(f"{address:#x}" for address in (thread.pc, *thread.returns))
            for affected in publication.affected if publication.strict else ():
                if any(affected.start <= address < affected.end for address in addresses):
                    return BlockedBy(thread.tid, affected.name, stack)
            if any(start < address < end for start, end in changed for address in addresses):
                return BlockedBy(thread.tid, "the bytes of a detour", stack)
        return None

    def _begin(self, operation: str) -> None:
        self.before(operation)
        self._refuse_ended()

    def _refuse_ended(self) -> None:
        if self.ended:
            raise ProcessGone(f"process {self.identity.pid} has ended")

    def _put(self, address: int, data: bytes) -> None:
        memory, at = self._at(address, len(data))
        memory[at : at + len(data)] = data

    def _at(self, address: int, size: int) -> tuple[bytearray, int]:
        for mapping, memory in self._memory.items():
            if mapping.start <= address and address + size <= mapping.end:
                return memory, address - mapping.start
        raise ProcessError(f"process {self.identity.pid} has not {size} bytes at {address:#x}")
