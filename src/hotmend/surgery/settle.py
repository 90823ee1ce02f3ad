"""What was begun and not ended: memory says how far it came, and it is put right.

A surgeon may be killed between any two steps. Each detour is whole or absent by itself; a set of
which only a part is in place is taken out again, under the same rules as any other change.
"""

from __future__ import annotations

from dataclasses import dataclass

from hotmend.hotpatch.codec import decode
from hotmend.hotpatch.errors import HotpatchError
from hotmend.model.outcome import Outcome
from hotmend.surgery import record
from hotmend.surgery.errors import LedgerError
from hotmend.surgery.ledger import Ledger, LedgerEntry, LedgerImage, State, applied, reverted
from hotmend.surgery.plan import new_ranges
from hotmend.surgery.process import Ending, Process, Publication, Range, Write
from hotmend.surgery.publishing import Terms, publish
from hotmend.surgery.standing import (
    in_place,
    not_published,
    payload_mapped,
    seen,
    unloaded,
    untouched,
)

# A set of which a part is in place is worse than a pause.
_ROLL_BACK_MS = 1000.0


@dataclass(frozen=True)
class Unsettled(Exception):
    """What was begun can be put right only later; the outcome says why."""

    outcome: Outcome


def remembered(process: Process, ledger: Ledger) -> list[LedgerEntry]:
    """What the ledger knows of a process, and what only its memory does: it inherited that from
    the process that forked it, or the ledger was lost. Nothing is written."""
    try:
        known = ledger.of(process.identity)
    except LedgerError:
        known = []
    digests = {entry.sha256 for entry in known}
    return [*known, *(e for e in record.found(process) if e.sha256 not in digests)]


def settled(process: Process, ledger: Ledger, terms: Terms) -> list[LedgerEntry]:
    """The same, each with the state that the memory bears out, recorded. Raises Unsettled."""
    try:
        ledger.of(process.identity)
    except LedgerError:
        ledger.set_aside(process.identity)
    entries = remembered(process, ledger)
    half_done = [entry for entry in entries if _is_half_done(process, entry, entries)]
    if half_done:
        _roll_back(process, half_done, entries, ledger, terms)
    result = []
    for entry in entries:
        true = entry
        gone = entry in half_done or untouched(process, entry) or unloaded(process, entry)
        if in_place(process, entry):
            true = applied(entry)
        elif gone or _superseded(process, entry, entries):
            true = reverted(entry)
        else:
            true = entry
        if true != entry or entry.state is State.INTENT:
            ledger.record(true)
        result.append(true)
    return result


def payload_ranges(image: LedgerImage, entry: LedgerEntry, ledger: Ledger) -> tuple[Range, ...]:
    """The whole payload, by function where the hotpatch was kept, and the ways that lead there."""
    end = image.payload + image.span
    ways = tuple(
        Range(address, address + size, f"the way to {image.name}'s hotpatch")
        for address, size, _ in image.filled
        if not image.payload <= address < end
    )
    try:
        images = decode(ledger.package(entry.sha256)).images
    except (LedgerError, HotpatchError):
        images = ()
    for patched in images:
        if (patched.old_build_id.hex, patched.span) == (image.old_build_id, image.span):
            return (*new_ranges(patched, image.payload), *ways)
    return (Range(image.payload, end, f"{image.name}'s hotpatch"), *ways)


def _is_half_done(process: Process, entry: LedgerEntry, entries: list[LedgerEntry]) -> bool:
    """Some of its detours are in place; the other places are old, or another entry's."""
    if in_place(process, entry) or untouched(process, entry):
        return False
    places = [(w, seen(process, w.address, len(w.before))) for w in _writes(entry)]
    known = {(w.address, w.after) for other in entries for w in _writes(other)}
    return any(now == w.after for w, now in places) and all(
        now == w.before or (w.address, now) in known for w, now in places
    )


def _superseded(process: Process, entry: LedgerEntry, entries: list[LedgerEntry]) -> bool:
    """Where it is not in place, an entry that is in place has taken over."""
    over = {
        (w.address, w.after)
        for other in entries
        if other.sha256 != entry.sha256 and in_place(process, other)
        for w in _writes(other)
    }
    return bool(over) and all(
        now == w.before or (w.address, now) in over
        for w in _writes(entry)
        for now in (seen(process, w.address, len(w.before)),)
    )


def _roll_back(
    process: Process,
    half_done: list[LedgerEntry],
    entries: list[LedgerEntry],
    ledger: Ledger,
    terms: Terms,
) -> None:
    """Everything that a half-done entry has a part in becomes old again."""
    originals = {w.address: w.before for entry in half_done for w in _writes(entry)}
    touched = [e for e in entries if any(w.address in originals for w in _writes(e))]
    originals |= {w.address: w.before for entry in touched for w in _writes(entry)}
    writes = []
    for address, before in originals.items():
        now = process.read(address, len(before))
        if now != before:
            writes.append(Write(address, now, before))
    maps = process.maps()
    affected = tuple(
        r
        for entry in touched
        for image in entry.images
        if payload_mapped(image, maps)
        for r in payload_ranges(image, entry, ledger)
    )
    budget_ms = max(terms.budget_ms, _ROLL_BACK_MS)
    publication = Publication(tuple(writes), affected, budget_ms=budget_ms)
    attempt = publish(process, publication, terms)
    if attempt.ending is not Ending.PUBLISHED:
        raise Unsettled(not_published(process, attempt))


def _writes(entry: LedgerEntry) -> list[Write]:
    return [write for image in entry.images for write in image.writes]
