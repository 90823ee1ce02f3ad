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
from hotmend.surgery.errors import ProcessError, ProcessGone, Refused
from hotmend.surgery.ledger import Ledger, LedgerEntry, LedgerImage, State, applied, reverted
from hotmend.surgery.module import find_modules
from hotmend.surgery.plan import ImagePlan, Plan, plan
from hotmend.surgery.process import Ending, Process, Publication
from hotmend.surgery.publishing import Terms, publish
from hotmend.surgery.standing import (
    in_place,
    inherited,
    not_published,
    outcome,
    payload_mapped,
    refused,
)


def apply(
    process: Process, hotpatch: Hotpatch, sha256: str, ledger: Ledger, terms: Terms
) -> Outcome:
    """Apply ``hotpatch``, whose file has ``sha256`` and is kept in ``ledger``.

    Raises NotPermitted, ProcessError, LedgerError; every other ending is the outcome.
    """
    try:
        known = ledger.of(process.identity)
        made = planned(process, hotpatch, sha256, known)
        if isinstance(made, Outcome) and made.refusal is not None:
            for entry in inherited(process, ledger.entries()[0]):
                ledger.record(entry)
                if entry.sha256 == sha256:
                    return outcome(process, OutcomeKind.ALREADY)
        if isinstance(made, Outcome):
            return made
        bound = next((i.image for i in made.images if not i.image.independent), None)
        if not terms.strict and bound is not None:
            return refused(
                process,
                Refusal(
                    RefusalCode.NOT_INDEPENDENT,
                    f"the functions of {bound.name} must change together ({bound.dependence}); "
                    "use --consistency strict",
                    bound.name,
                ),
            )
        entry = _entry(process, hotpatch, sha256, made)
        ledger.record(entry)
        try:
            return _carry_out(process, made, entry, ledger, terms)
        except Refused:
            ledger.record(reverted(entry))
            raise
    except ProcessGone:
        return outcome(process, OutcomeKind.GONE)
    except Refused as no:
        return refused(process, no.refusal)


def planned(
    process: Process, hotpatch: Hotpatch, sha256: str, known: Sequence[LedgerEntry]
) -> Plan | Outcome:
    """The plan for a process, or the outcome that makes one unnecessary or impossible.
    ``known``: what the ledger says of the process."""
    mine = [entry for entry in known if entry.package == hotpatch.package]
    for entry in mine:
        if entry.state is not State.REVERTED and in_place(process, entry):
            if entry.sha256 == sha256:
                return outcome(process, OutcomeKind.ALREADY)
            return refused(
                process,
                Refusal(
                    RefusalCode.OTHER_HOTPATCH,
                    f"another hotpatch of {entry.package} ({entry.version}) is applied; "
                    f"revert it first: hotmend revert --package {entry.package}",
                    entry.package,
                    (("sha256", entry.sha256),),
                ),
            )
    dormant = [
        (image.old_build_id, image.payload)
        for entry in mine
        if entry.sha256 == sha256
        for image in entry.images
        if payload_mapped(process, image)
    ]
    maps = process.maps()
    made = plan(hotpatch, find_modules(maps, process.read), maps, process.read, dormant)
    if made is None:
        return outcome(process, OutcomeKind.NOT_MAPPED)
    return refused(process, made) if isinstance(made, Refusal) else made


def _carry_out(
    process: Process, made: Plan, entry: LedgerEntry, ledger: Ledger, terms: Terms
) -> Outcome:
    for image in made.images:
        if not image.payload.reused:
            process.map_payload(image.payload.address, image.payload.size)
        for address, data in image.fill.pages:
            process.write(address, data)
    for image in made.images:
        _check_fill(process, image)
    publication = Publication(
        writes=tuple(detour.write for image in made.images for detour in image.detours),
        affected=tuple(r for image in made.images for r in image.old_ranges),
        strict=terms.strict,
        budget_ms=terms.budget_ms,
    )
    attempt = publish(process, publication, terms)
    if attempt.ending is not Ending.PUBLISHED:
        ledger.record(reverted(entry))
        return not_published(process, attempt)
    if not in_place(process, entry):
        raise ProcessError(f"process {process.identity.pid} does not read back as written")
    ledger.record(applied(entry))
    return outcome(process, OutcomeKind.APPLIED, attempt.pause_ms)


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
                payload=image.payload.address,
                span=image.payload.size,
                filled=tuple(
                    (address, len(data), hashlib.sha256(data).hexdigest())
                    for address, data in image.fill.pages
                ),
                writes=tuple(detour.write for detour in image.detours),
            )
            for image in made.images
        ),
    )
