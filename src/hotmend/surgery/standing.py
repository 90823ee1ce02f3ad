"""How a process stands to what the ledger says of it; and outcomes, said alike everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hotmend.model.outcome import BlockedBy, Outcome, OutcomeKind
from hotmend.model.refusal import Refusal, RefusalCode
from hotmend.surgery.errors import ProcessError
from hotmend.surgery.ledger import LedgerEntry, LedgerImage
from hotmend.surgery.process import Attempt, Ending, Mapping, Process


def in_place(process: Process, entry: LedgerEntry) -> bool:
    """Every detour of the entry is in the process's memory."""
    return _reads(process, [(w.address, w.after) for i in entry.images for w in i.writes])


def untouched(process: Process, entry: LedgerEntry) -> bool:
    """Every place of a detour has its old bytes."""
    return _reads(process, [(w.address, w.before) for i in entry.images for w in i.writes])


def unloaded(process: Process, entry: LedgerEntry) -> bool:
    """No place of a detour is there any more: the process has closed the library."""
    writes = [w for image in entry.images for w in image.writes]
    return all(seen(process, w.address, len(w.before)) is None for w in writes)


def seen(process: Process, address: int, size: int) -> bytes | None:
    """What is there; None when nothing is."""
    try:
        return process.read(address, size)
    except ProcessError:
        return None


def payload_mapped(image: LedgerImage, maps: Sequence[Mapping]) -> bool:
    """The payload's mapping is among ``maps``."""
    return any(
        m.start <= image.payload and m.end >= image.payload + image.span and m.executable
        for m in maps
    )


def outcome(process: Process, kind: OutcomeKind, pause_ms: float | None = None) -> Outcome:
    return Outcome(process.identity.pid, process.command, kind, pause_ms)


def refused(process: Process, refusal: Refusal) -> Outcome:
    return Outcome(
        process.identity.pid, process.command, OutcomeKind.REFUSED, None, refusal=refusal
    )


def not_published(process: Process, attempt: Attempt) -> Outcome:
    """The outcome of a last attempt that did not publish."""
    pid = process.identity.pid
    match attempt.ending:
        case Ending.BLOCKED:
            blocked = attempt.blocked or BlockedBy(0, attempt.detail or "the pause budget")
            return Outcome(
                pid, process.command, OutcomeKind.BLOCKED, attempt.pause_ms, blocked=blocked
            )
        case Ending.GONE:
            return outcome(process, OutcomeKind.GONE)
        case Ending.BYTES_DIFFER:
            return refused(
                process,
                Refusal(
                    RefusalCode.BYTES_DIFFER,
                    "the place of a detour is not as it was when the work was planned",
                    process.command,
                    (("at", attempt.detail),),
                ),
            )
        case _:
            raise ProcessError(f"process {pid} could not be stopped: {attempt.detail}")


def _reads(process: Process, expected: Iterable[tuple[int, bytes]]) -> bool:
    return all(seen(process, address, len(data)) == data for address, data in expected)
