"""The ledger: what it is told it says again, and damage is said and not believed."""

from __future__ import annotations

import fcntl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from hotmend.hotpatch.codec import encode
from hotmend.surgery import ledger as ledger_module
from hotmend.surgery.errors import LedgerError
from hotmend.surgery.ledger import Ledger, LedgerEntry, LedgerImage, State, applied
from hotmend.surgery.process import Identity, Write, boot_id
from surgery import workshop
from surgery.workshop import is_root

IMAGE = LedgerImage(
    name="libvictim.so.1",
    old_build_id="ab" * 20,
    bias=0x7F00_0000_0000,
    payload=0x7F00_1000_0000,
    span=4096,
    filled=((0x7F00_1000_0000, 4096, "cd" * 32),),
    writes=(Write(0x7F00_0000_1000, b"\x55\x48\x89\xe5\x90", b"\xe9\x01\x02\x03\x04"),),
)
ENTRY = LedgerEntry(
    Identity(4321, 99, boot_id()), "nginx", "libvictim1", "1.0-2", "ef" * 32, State.INTENT, (IMAGE,)
)


def _file(ledger: Ledger) -> Path:
    return next(ledger.folder.glob("processes/*/4321-99.json"))


def test_what_was_recorded_is_read_again(ledger: Ledger) -> None:
    ledger.record(ENTRY)
    other = replace(ENTRY, sha256="00" * 32, package="other")
    ledger.record(other)
    ledger.record(applied(ENTRY))
    assert ledger.of(ENTRY.identity) == [other, applied(ENTRY)]
    assert Ledger(ledger.folder).entries() == ([other, applied(ENTRY)], [])


def test_a_process_nobody_recorded_has_nothing(ledger: Ledger) -> None:
    ledger.record(ENTRY)
    assert ledger.of(replace(ENTRY.identity, start_time=100)) == []


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[]", b'{"version": 1}', b'{"version": 2, "entries": []}', b"null", b"\xff\xfe"],
)
def test_a_damaged_file_is_named_and_not_believed(ledger: Ledger, damage: bytes) -> None:
    ledger.record(ENTRY)
    ledger.record(replace(ENTRY, identity=Identity(1, 2, boot_id())))
    _file(ledger).write_bytes(damage)
    with pytest.raises(LedgerError, match=r"4321-99\.json is damaged"):
        ledger.of(ENTRY.identity)
    entries, sentences = ledger.entries()
    assert [e.identity.pid for e in entries] == [1]
    assert len(sentences) == 1 and str(_file(ledger)) in sentences[0]


def test_a_huge_file_is_not_read(ledger: Ledger) -> None:
    ledger.record(ENTRY)
    with _file(ledger).open("r+b") as file:
        file.truncate(1 << 30)
    with pytest.raises(LedgerError, match="too large"):
        ledger.of(ENTRY.identity)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own; yields a file that takes all of its room when written to."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], check=True)
    try:
        yield folder / "everything"
    finally:
        subprocess.run(["umount", folder], check=True)


def fill(file: Path) -> None:
    with suppress(OSError), file.open("wb", buffering=0) as everything:
        while everything.write(bytes(4096)):
            continue


@pytest.mark.skipif(not is_root(), reason="only root may mount")
def test_on_a_full_disk_the_old_record_stays(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as file:
        ledger = Ledger(tmp_path / "disk")
        ledger.record(ENTRY)
        fill(file)
        with pytest.raises(LedgerError, match="No space left"):
            ledger.record(applied(ENTRY))
        with pytest.raises(LedgerError, match="No space left"):
            ledger.keep(b"a hotpatch")
        assert ledger.of(ENTRY.identity) == [ENTRY]
        assert [p.name for p in _file(ledger).parent.iterdir()] == [_file(ledger).name]
        file.unlink()
        ledger.record(applied(ENTRY))
        assert ledger.of(ENTRY.identity) == [applied(ENTRY)]


@pytest.mark.parametrize("exchange", [True, False])
def test_a_record_takes_the_place_of_another(
    ledger: Ledger, exchange: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are file systems that cannot exchange two names."""
    if not exchange:
        monkeypatch.setattr(ledger_module, "_exchange", lambda *_: False)
    for entry in (ENTRY, applied(ENTRY), ENTRY):
        ledger.record(entry)
        assert Ledger(ledger.folder).of(ENTRY.identity) == [entry]
        assert [p.name for p in _file(ledger).parent.iterdir()] == [_file(ledger).name]


def test_a_kept_hotpatch_comes_back_and_a_spoilt_one_does_not(ledger: Ledger) -> None:
    data = encode(workshop.hotpatch("answer"))
    digest = ledger.keep(data)
    assert ledger.package(digest) == data
    path = ledger.folder / "hotpatches" / f"{digest}.hotpatch"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(LedgerError, match="damaged"):
        ledger.package(digest)
    with pytest.raises(LedgerError, match="cannot be read"):
        ledger.package("00" * 32)


def test_the_dead_and_the_boots_before_are_forgotten(ledger: Ledger) -> None:
    ledger.record(ENTRY)
    ledger.record(replace(ENTRY, identity=Identity(1, 2, boot_id())))
    before = ledger.folder / "processes" / "another-boot"
    before.mkdir()
    (before / "7-7.json").write_text("{}")
    (before / ".new-7-7-7.json").write_text("{")
    (_file(ledger).parent / ".new-7-8-8.json").write_text("{")
    ledger.tidy(lambda identity: identity == ENTRY.identity)
    assert [e.identity for e in ledger.entries()[0]] == [ENTRY.identity]
    assert not before.exists()
    assert [p.name for p in _file(ledger).parent.iterdir()] == [_file(ledger).name]


def test_two_surgeons_take_turns(ledger: Ledger) -> None:
    with (
        ledger.locked(),
        (ledger.folder / "lock").open("w") as other,
        pytest.raises(BlockingIOError),
    ):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with (ledger.folder / "lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
