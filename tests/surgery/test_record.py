"""What a process says of its own hotpatches is hostile: bounded, and believed when borne out."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from hotmend.hotpatch.codec import encode
from hotmend.hotpatch.hotpatch import PAGE
from hotmend.model.outcome import OutcomeKind
from hotmend.surgery import record
from hotmend.surgery.apply import apply
from hotmend.surgery.fake import FakeProcess
from hotmend.surgery.ledger import Ledger, State
from hotmend.surgery.linux import LinuxProcess
from hotmend.surgery.publishing import Terms
from hotmend.surgery.settle import remembered, settled
from surgery import workshop
from surgery.rehearsal import process_with

PATCH = workshop.hotpatch("answer", "other")


@pytest.fixture
def patched(ledger: Ledger) -> FakeProcess:
    """A process with a hotpatch in place, of which only its memory tells."""
    process = process_with("old")
    outcome = apply(process, PATCH, ledger.keep(encode(PATCH)), ledger, Terms())
    assert outcome.kind is OutcomeKind.APPLIED
    (file,) = ledger.folder.glob("processes/*/*.json")
    file.unlink()
    return process


def _retell(process: FakeProcess, *path: str | int, value: object) -> None:
    """Change one word of the process's record, which stays whole."""
    start = next(m.start for m in process.maps() if not m.inode)
    size = int.from_bytes(process.read(start + 40, 4), "little")
    content: Any = json.loads(process.read(start + 44, size))
    at = content
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    data = json.dumps(content).encode()
    head = b"HOTMEND1" + hashlib.sha256(data).digest() + len(data).to_bytes(4, "little")
    process.write(start, (head + data).ljust(PAGE, b"\xcc"))


def test_a_record_that_is_borne_out_is_believed(patched: FakeProcess, ledger: Ledger) -> None:
    _retell(patched, "version", value="of its own choice")
    (entry,) = settled(patched, ledger, Terms())
    assert (entry.state, entry.version) == (State.APPLIED, "of its own choice")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("image", "payload"), 10**30),
        (("image", "payload"), -1),
        (("image", "payload"), "12"),
        (("image", "span"), 1 << 40),
        (("image", "bias"), 1 << 63),
        (("image", "writes", 0, 0), 1 << 64),
        (("image", "writes", 0, 0), -8),
        (("image", "writes", 0, 1), "00" * 9),
        (("image", "filled", 0, 0), 1 << 64),
        (("image", "filled", 0, 1), 1 << 40),
        (("image", "filled", 0, 1), -1),
        (("image", "filled"), [[0, 1 << 28, ""], [0, 1, ""]]),
        (("image", "filled"), 5),
        (("image",), None),
        (("package",), "\x1b[2J"),
        (("version",), "1" * 600),
        (("sha256",), 5),
    ],
    ids=str,
)
def test_what_no_hotpatch_can_have_is_not_read(
    path: tuple[str | int, ...], value: object, patched: FakeProcess, ledger: Ledger
) -> None:
    assert len(remembered(patched, ledger)) == 1
    _retell(patched, *path, value=value)
    assert remembered(patched, ledger) == []


def test_a_real_process_with_numbers_out_of_all_bounds_breaks_nothing(ledger: Ledger) -> None:
    with workshop.running("idle") as target, LinuxProcess(target.pid) as process:
        apply(process, PATCH, ledger.keep(encode(PATCH)), ledger, Terms())
        (known,) = ledger.of(process.identity)
        start = next(
            m.start for m in process.maps() if m.executable and not m.inode and m.path == ""
        )
        data = json.dumps(
            {
                "package": "p",
                "version": "v",
                "sha256": known.sha256,
                "image": {
                    "name": "n",
                    "old_build_id": "",
                    "bias": 0,
                    "payload": (1 << 47) - 1,
                    "span": 0,
                    "filled": [],
                    "writes": [[(1 << 47) - 8, "00", "01"]],
                },
            }
        ).encode()
        head = b"HOTMEND1" + hashlib.sha256(data).digest() + len(data).to_bytes(4, "little")
        process.write(start, head + data)
        other = Ledger(ledger.folder / "other")
        (told,) = settled(process, other, Terms())
        assert (told.package, told.state) == ("p", State.REVERTED)


def test_a_part_of_an_unknown_image_is_taken_out_all_the_same(
    patched: FakeProcess, ledger: Ledger
) -> None:
    """It names a hotpatch that is kept, and an image that this one does not have."""
    (entry,) = remembered(patched, ledger)
    first, second = entry.images[0].writes
    patched.write(first.address, first.before)
    _retell(patched, "image", "old_build_id", value="00" * 20)
    (found,) = settled(patched, ledger, Terms())
    assert found.state is State.REVERTED
    assert patched.read(second.address, len(second.before)) == second.before


def test_the_number_of_records_is_bounded(patched: FakeProcess, ledger: Ledger) -> None:
    (told,) = remembered(patched, ledger)
    start = next(m.start for m in patched.maps() if not m.inode)
    data = patched.read(start, PAGE)
    for number in range(300):
        patched.place((1 << 40) + number * 2 * PAGE, data)
    (entry,) = record.found(patched)
    assert len(told.images) == 1 and len(entry.images) == 256
