"""Take a hotpatch out of a process again: the saved bytes go back, under the same rules.

The payload stays mapped, dormant: a coroutine that sleeps in it or a pointer somebody stored may
still lead there, and the next apply of the same hotpatch uses it again, so nothing accumulates.
"""

from __future__ import annotations

from hotmend.model.outcome import Outcome, OutcomeKind
from hotmend.model.refusal import Refusal, RefusalCode
from hotmend.surgery.errors import ProcessGone, Refused
from hotmend.surgery.ledger import Ledger, LedgerEntry, reverted
from hotmend.surgery.process import Ending, Process, Publication, Write
from hotmend.surgery.publishing import Terms, publish
from hotmend.surgery.settle import Unsettled, payload_ranges, settled
from hotmend.surgery.standing import in_place, not_published, outcome, refused, untouched


def revert(process: Process, entry: LedgerEntry, ledger: Ledger, terms: Terms) -> Outcome:
    """Revert ``entry``. Raises NotPermitted, ProcessError, LedgerError."""
    try:
        if not in_place(process, entry):
            if untouched(process, entry):
                ledger.record(reverted(entry))
                return outcome(process, OutcomeKind.ALREADY)
            return refused(
                process,
                Refusal(
                    RefusalCode.BYTES_DIFFER,
                    f"the detours of {entry.package} are neither in place nor gone; "
                    f"hotmend verify --pid {process.identity.pid} shows what differs",
                    entry.package,
                ),
            )
        publication = Publication(
            writes=tuple(
                Write(w.address, w.after, w.before) for image in entry.images for w in image.writes
            ),
            affected=tuple(
                r for image in entry.images for r in payload_ranges(image, entry, ledger)
            ),
            strict=True,
            budget_ms=terms.budget_ms,
        )
        attempt = publish(process, publication, terms)
        if attempt.ending is Ending.FAILED:
            settled(process, ledger, terms)
        if attempt.ending is not Ending.PUBLISHED:
            return not_published(process, attempt)
        ledger.record(reverted(entry))
        return outcome(process, OutcomeKind.REVERTED, attempt.pause_ms)
    except ProcessGone:
        return outcome(process, OutcomeKind.GONE)
    except Refused as no:
        return refused(process, no.refusal)
    except Unsettled as later:
        return later.outcome
