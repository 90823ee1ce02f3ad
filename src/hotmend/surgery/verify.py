"""Is what was patched still as it was written? Every patched byte is read again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from hotmend.model.refusal import Refusal, RefusalCode
from hotmend.surgery.ledger import LedgerEntry, State
from hotmend.surgery.process import Process


def verify(
    process: Process, entry: LedgerEntry, known: Iterable[LedgerEntry] = ()
) -> list[Refusal]:
    """What differs, one refusal for each place; empty when nothing does. A reverted entry must
    have its old bytes back, or those of another that is applied, among ``known``."""
    found = []
    over = {
        (write.address, write.after)
        for other in known
        if other.state is State.APPLIED
        for image in other.images
        for write in image.writes
    }
    for image in entry.images:
        for write in image.writes:
            wanted = write.before if entry.state is State.REVERTED else write.after
            seen = process.read(write.address, len(wanted))
            if entry.state is State.REVERTED and (write.address, seen) in over:
                continue
            if seen != wanted:
                found.append(_difference(image.name, write.address, wanted.hex(), seen.hex()))
        if entry.state is State.REVERTED:
            continue
        for address, size, digest in image.filled:
            seen_digest = hashlib.sha256(process.read(address, size)).hexdigest()
            if seen_digest != digest:
                found.append(
                    _difference(
                        image.name, address, f"{size} bytes of sha256 {digest}", seen_digest
                    )
                )
    return found


def _difference(name: str, address: int, wanted: str, seen: str) -> Refusal:
    return Refusal(
        RefusalCode.BYTES_DIFFER,
        f"{name}: at {address:#x} there is {seen} instead of {wanted}",
        name,
        (("address", f"{address:#x}"), ("expected", wanted), ("found", seen)),
    )
