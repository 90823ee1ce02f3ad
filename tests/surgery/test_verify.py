"""Every patched byte is read again, and every wrong one is named."""

from __future__ import annotations

import pytest

from hotmend.hotpatch.codec import encode
from hotmend.model.refusal import RefusalCode
from hotmend.surgery.apply import apply
from hotmend.surgery.fake import FakeProcess
from hotmend.surgery.ledger import Ledger, LedgerEntry
from hotmend.surgery.publishing import Terms
from hotmend.surgery.revert import revert
from hotmend.surgery.verify import verify
from surgery import workshop
from surgery.rehearsal import process_with


@pytest.fixture
def patched(ledger: Ledger) -> tuple[FakeProcess, LedgerEntry]:
    process = process_with("old")
    hotpatch = workshop.hotpatch("answer", "other")
    apply(process, hotpatch, ledger.keep(encode(hotpatch)), ledger, Terms())
    return process, ledger.of(process.identity)[0]


def _flip(process: FakeProcess, address: int) -> None:
    process.write(address, bytes([process.read(address, 1)[0] ^ 0x10]))


def test_what_is_as_written_differs_nowhere(patched: tuple[FakeProcess, LedgerEntry]) -> None:
    assert verify(*patched) == []


def test_each_byte_of_each_detour_and_of_the_payload_counts(
    patched: tuple[FakeProcess, LedgerEntry],
) -> None:
    process, entry = patched
    image = entry.images[0]
    places = [w.address + at for w in image.writes for at in range(len(w.after))]
    places += [address + at for address, size, _ in image.filled for at in range(0, size, 61)]
    for place in places:
        _flip(process, place)
        found = verify(process, entry)
        assert [refusal.code for refusal in found] == [RefusalCode.BYTES_DIFFER], hex(place)
        _flip(process, place)
    assert verify(process, entry) == []


def test_a_reverted_entry_must_have_its_old_bytes(
    patched: tuple[FakeProcess, LedgerEntry], ledger: Ledger
) -> None:
    process, entry = patched
    revert(process, entry, ledger, Terms())
    reverted = ledger.of(process.identity)[0]
    assert verify(process, reverted) == []
    _flip(process, reverted.images[0].writes[0].address)
    assert len(verify(process, reverted)) == 1
