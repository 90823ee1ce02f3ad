"""Apply a hotpatch to one process.

The order of work: everything that can be computed is computed first (plan), the ledger says what
is about to happen, the payload is mapped and filled and read back while the process runs, and
only then is there one stop, in which all detours of all images are written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from hotmend.hotpatch.hotpatch import Hotpatch
from hotmend.model.outcome import Outcome, OutcomeKind
from hotmend.model.refusal import Refusal, RefusalCode
from hotmend.surgery import record, switching
from hotmend.surgery.errors import ProcessError, ProcessGone, Refused
from hotmend.surgery.ledger import Ledger, LedgerEntry, LedgerImage, State, applied, reverted
from hotmend.surgery.module import Read, find_modules
from hotmend.surgery.plan import ImagePlan, Plan, RegisterFrames, plan
from hotmend.surgery.process import PAGE, Attempt, Ending, Process, Publication, Write
from hotmend.surgery.publishing import Consistency, Terms, publish
from hotmend.surgery.settle import Unsettled, payload_ranges, settled
from hotmend.surgery.standing import (
    in_place,
    not_published,
    outcome,
    payload_mapped,
    refused,
    untouched,
)

_REST_S = 0.02
_NOBODY_AT_REST = Attempt(
    Ending.BLOCKED,
    0.0,
    0,
    None,
    "no thread rests in a call in which it could tell the unwinder of the new code",
)


def apply(
    process: Process, hotpatch: Hotpatch, sha256: str, ledger: Ledger, terms: Terms
) -> Outcome:
    """Apply ``hotpatch``, whose file has ``sha256`` and is kept in ``ledger``. An earlier hotpatch
    of the package is superseded in the same stop.

    Raises NotPermitted, ProcessError, LedgerError; every other ending is the outcome.
    """
    try:
        known = settled(process, ledger, terms)
        stop = terms.consistency is not Consistency.NO_STOP
        made = planned(process, hotpatch, sha256, known, stop=stop)
        if isinstance(made, Outcome):
            return made
        bound = next((i.image for i in made.images if not i.image.independent), None)
        if terms.consistency is not Consistency.STRICT and bound is not None:
            return refused(
                process,
                Refusal(
                    RefusalCode.NOT_INDEPENDENT,
                    f"the functions of {bound.name} must change together ({bound.dependence}); "
                    "use --consistency strict",
                    bound.name,
                ),
            )
        if not stop:
            why = switching.needs_stop(process, made, _in_force(known, hotpatch))
            if why is not None:
                return refused(process, why)
        entry = _entry(process, hotpatch, sha256, made)
        ledger.record(entry)
        try:
            return _carry_out(process, made, entry, _in_force(known, hotpatch), ledger, terms)
        except Refused:
            ledger.record(reverted(entry))
            if not untouched(process, entry):  # it called exec: the memory we know is no more
                return outcome(process, OutcomeKind.GONE)
            raise
    except ProcessGone:
        return outcome(process, OutcomeKind.GONE)
    except Refused as no:
        return refused(process, no.refusal)
    except Unsettled as later:
        return later.outcome


def planned(
    process: Process,
    hotpatch: Hotpatch,
    sha256: str,
    known: Sequence[LedgerEntry],
    *,
    stop: bool = True,
) -> Plan | Outcome:
    """The plan for a process, or the outcome that makes one unnecessary or impossible.
    ``known``: what is remembered of the process; ``stop``: as of ``plan``."""
    in_force = _in_force(known, hotpatch)
    if any(entry.sha256 == sha256 and in_place(process, entry) for entry in in_force):
        return outcome(process, OutcomeKind.ALREADY)
    maps = process.maps()
    dormant = [
        (image.old_build_id, image.payload)
        for entry in known
        if entry.sha256 == sha256
        for image in entry.images
        if payload_mapped(image, maps)
    ]
    modules = find_modules(maps, process.read)
    made = plan(hotpatch, modules, maps, without(in_force, process.read), dormant, stop=stop)
    if made is None:
        return outcome(process, OutcomeKind.NOT_MAPPED)
    return refused(process, made) if isinstance(made, Refusal) else made


def without(entries: Sequence[LedgerEntry], read: Read) -> Read:
    """Reads memory as it would be if ``entries`` were reverted."""
    writes = [write for entry in entries for image in entry.images for write in image.writes]

    def reading(address: int, size: int) -> bytes:
        data = bytearray(read(address, size))
        for write in writes:
            for at, byte in enumerate(write.before, write.address - address):
                if 0 <= at < size:
                    data[at] = byte
        return bytes(data)

    return reading if writes else read


def _in_force(known: Sequence[LedgerEntry], hotpatch: Hotpatch) -> list[LedgerEntry]:
    """The hotpatches of the same package that are applied: one at most, once settled."""
    return [e for e in known if e.package == hotpatch.package and e.state is State.APPLIED]


def _carry_out(
    process: Process,
    made: Plan,
    entry: LedgerEntry,
    superseded: Sequence[LedgerEntry],
    ledger: Ledger,
    terms: Terms,
) -> Outcome:
    for image, remembered in zip(made.images, entry.images, strict=True):
        if not image.payload.reused:
            process.map_memory(image.payload.address, image.payload.size)
        process.write(image.payload.address, record.encode(entry, remembered))
        for address, data in image.fill.pages:
            process.write(address, data)
    for image in made.images:
        _check_fill(process, image)
    for step in (image.frames for image in made.images if image.frames is not None):
        if not _register(process, step, terms):
            ledger.record(reverted(entry))
            return not_published(process, _NOBODY_AT_REST)
    if terms.consistency is Consistency.NO_STOP:
        attempt = switching.switch(process, made)
    else:
        attempt = publish(process, _publication(made, superseded, ledger, terms), terms)
    if attempt.ending is Ending.FAILED:
        settled(process, ledger, terms)
    if attempt.ending is not Ending.PUBLISHED:
        ledger.record(reverted(entry))
        return not_published(process, attempt)
    if not in_place(process, entry):
        raise ProcessError(f"process {process.identity.pid} does not read back as written")
    for earlier in superseded:
        ledger.record(reverted(earlier))
    ledger.record(applied(entry))
    return outcome(process, OutcomeKind.APPLIED, attempt.pause_ms)


def _register(process: Process, step: RegisterFrames, terms: Terms) -> bool:
    """Tell the unwinder, once; False when no thread could be asked to within the patience."""
    if not any(m.start <= step.scratch < m.end and "w" in m.permissions for m in process.maps()):
        process.map_memory(step.scratch, PAGE, writable=True)
    deadline = terms.clock() + terms.patience_s
    while not any(process.read(step.scratch, PAGE)):
        if process.call_function(step.function, (step.begin, step.scratch)):
            return True
        if terms.clock() + _REST_S > deadline:
            return False
        terms.sleep(_REST_S)
    return True


def _publication(
    made: Plan, superseded: Sequence[LedgerEntry], ledger: Ledger, terms: Terms
) -> Publication:
    """All detours of all images, and the detours of what they supersede undone."""
    images = [(image, entry) for entry in superseded for image in entry.images]
    now = {w.address: (w.after, w.before) for image, _ in images for w in image.writes}
    writes = []
    for detour in (d for image in made.images for d in image.detours):
        there, _ = now.pop(detour.write.address, (detour.write.before, b""))
        writes.append(Write(detour.write.address, there, detour.write.after))
    writes += [Write(address, there, before) for address, (there, before) in now.items()]
    affected = [r for image in made.images for r in image.old_ranges]
    affected += [r for image, entry in images for r in payload_ranges(image, entry, ledger)]
    strict = terms.consistency is Consistency.STRICT
    return Publication(tuple(writes), tuple(affected), strict, terms.budget_ms)


def _check_fill(process: Process, image: ImagePlan) -> None:
    for address, data in image.fill.pages:
        if process.read(address, len(data)) != data:
            raise ProcessError(
                f"the payload at {address:#x} does not read back as written; no detour was written"
            )


def _entry(process: Process, hotpatch: Hotpatch, sha256: str, made: Plan) -> LedgerEntry:
    return LedgerEntry(
        identity=process.identity,
        command=process.command,
        package=hotpatch.package,
        version=hotpatch.new_version,
        sha256=sha256,
        state=State.INTENT,
        images=tuple(
            LedgerImage(
                name=image.image.name,
                old_build_id=image.image.old_build_id.hex,
                bias=image.module.bias,
                payload=image.payload.base,
                span=image.image.span,
                filled=tuple(
                    (address, len(data), hashlib.sha256(data).hexdigest())
                    for address, data in (*image.fill.pages, *image.ways)
                ),
                writes=tuple(detour.write for detour in image.detours),
            )
            for image in made.images
        ),
    )
