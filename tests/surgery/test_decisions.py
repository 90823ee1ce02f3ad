"""Apply and revert on a fake process: the order of the work, and every way in which it can end."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace

import pytest

from hotmend.hotpatch.codec import encode
from hotmend.hotpatch.hotpatch import Hotpatch
from hotmend.model.outcome import Outcome, OutcomeKind
from hotmend.model.refusal import RefusalCode
from hotmend.surgery.apply import apply
from hotmend.surgery.errors import ProcessError
from hotmend.surgery.fake import FakeProcess, FakeThread
from hotmend.surgery.ledger import Ledger, State
from hotmend.surgery.process import Identity, boot_id
from hotmend.surgery.publishing import Consistency, Terms
from hotmend.surgery.revert import revert
from hotmend.surgery.settle import settled
from surgery import workshop
from surgery.rehearsal import BASE, jump_target, planned, process_with

QUICK = Terms(patience_s=0)
ENTRY = BASE + workshop.symbols(workshop.library())["answer"][0]
OTHER = BASE + workshop.symbols(workshop.library())["other"][0]


@pytest.fixture
def hotpatch() -> Hotpatch:
    return workshop.hotpatch("answer", independent=True)


def put(process: FakeProcess, hotpatch: Hotpatch, ledger: Ledger, terms: Terms = QUICK) -> Outcome:
    return apply(process, hotpatch, ledger.keep(encode(hotpatch)), ledger, terms)


def take(process: FakeProcess, ledger: Ledger) -> Outcome:
    return revert(process, ledger.of(process.identity)[0], ledger, QUICK)


def test_the_ledger_speaks_before_the_first_write_and_the_payload_is_ready_before_the_stop(
    hotpatch: Hotpatch, ledger: Ledger
) -> None:
    process = process_with("old")
    seen: list[tuple[str, State | None]] = []

    def before(operation: str) -> None:
        entries = ledger.of(process.identity)
        seen.append((operation, entries[0].state if entries else None))
        if operation == "publish":
            assert jump_target(process, ENTRY) is None

    process.before = before
    assert put(process, hotpatch, ledger).kind is OutcomeKind.APPLIED
    process.before = lambda _: None
    touching = [step for step in seen if step[0] != "read"]
    steps = ("map_memory", "write", "write", "publish")
    assert touching == [(name, State.INTENT) for name in steps]
    last_write = max(i for i, step in enumerate(seen) if step[0] == "write")
    assert "read" in {name for name, _ in seen[last_write : seen.index(touching[-1])]}
    assert ledger.of(process.identity)[0].state is State.APPLIED
    target = jump_target(process, ENTRY)
    fixed = workshop.code(
        workshop.library("fixed"), *workshop.symbols(workshop.library("fixed"))["answer"]
    )
    assert target is not None and process.read(target, len(fixed)) == fixed


def test_a_payload_that_does_not_read_back_gets_no_detour(
    hotpatch: Hotpatch, ledger: Ledger
) -> None:
    process = process_with("old")
    place = planned(process, hotpatch).images[0].payload.base
    writes = []

    def spoil(operation: str) -> None:
        if operation == "write":
            writes.append(operation)
        elif operation == "read" and len(writes) == 2:
            writes.append("spoilt")
            process.write(place, b"\x0f\x0b")

    process.before = spoil
    with pytest.raises(ProcessError, match="read back"):
        put(process, hotpatch, ledger)
    assert jump_target(process, ENTRY) is None


def test_a_hotpatch_that_is_in_is_in_already(hotpatch: Hotpatch, ledger: Ledger) -> None:
    process = process_with("old")
    assert put(process, hotpatch, ledger).kind is OutcomeKind.APPLIED
    assert put(process, hotpatch, ledger).kind is OutcomeKind.ALREADY


def test_a_later_hotpatch_of_the_package_takes_over_in_one_stop(
    hotpatch: Hotpatch, ledger: Ledger
) -> None:
    process = process_with("old")
    original = process.read(ENTRY, 8)
    put(process, hotpatch, ledger)
    first = jump_target(process, ENTRY)
    stops = []
    process.before = stops.append
    assert put(process, workshop.hotpatch("other"), ledger).kind is OutcomeKind.APPLIED
    assert stops.count("publish") == 1
    assert process.read(ENTRY, 8) == original
    assert jump_target(process, OTHER) not in (None, first)
    states = {entry.sha256: entry.state for entry in ledger.of(process.identity)}
    assert sorted(states.values()) == [State.APPLIED, State.REVERTED]
    assert put(process, hotpatch, ledger).kind is OutcomeKind.APPLIED
    assert (jump_target(process, ENTRY), jump_target(process, OTHER)) == (first, None)


def test_a_thread_in_the_earlier_replacement_blocks_the_later(
    hotpatch: Hotpatch, ledger: Ledger
) -> None:
    process = process_with("old")
    put(process, hotpatch, ledger)
    target = jump_target(process, ENTRY)
    assert target is not None
    process.threads.append(FakeThread(101, target + 2))
    assert put(process, workshop.hotpatch("other"), ledger).kind is OutcomeKind.BLOCKED
    assert jump_target(process, ENTRY) == target
    assert [e.state for e in ledger.of(process.identity)] == [State.APPLIED, State.REVERTED]


def test_functions_that_belong_together_are_not_exchanged_one_by_one(ledger: Ledger) -> None:
    entry = replace(QUICK, consistency=Consistency.ENTRY)
    refusal = put(process_with("old"), workshop.hotpatch("answer"), ledger, entry).refusal
    assert refusal is not None and refusal.code is RefusalCode.NOT_INDEPENDENT
    alone = workshop.hotpatch("answer", independent=True)
    assert put(process_with("old"), alone, ledger, entry).kind is OutcomeKind.APPLIED


@pytest.mark.parametrize("pc", [ENTRY, ENTRY + 2])
def test_a_thread_inside_blocks_and_nothing_is_written(
    hotpatch: Hotpatch, ledger: Ledger, pc: int
) -> None:
    process = process_with("old")
    original = process.read(ENTRY, 8)
    process.threads.append(FakeThread(101, pc))
    outcome = put(process, hotpatch, ledger)
    assert outcome.kind is OutcomeKind.BLOCKED
    assert outcome.blocked is not None
    assert (outcome.blocked.tid, outcome.blocked.function) == (101, "answer")
    assert process.read(ENTRY, 8) == original
    assert ledger.of(process.identity)[0].state is State.REVERTED
    process.threads.pop()
    assert put(process, hotpatch, ledger).kind is OutcomeKind.APPLIED


def test_a_thread_that_returns_into_it_blocks_only_strictly(ledger: Ledger) -> None:
    deep = workshop.hotpatch("hold_deep", independent=True)
    va, size = workshop.symbols(workshop.library())["hold_deep"]
    assert size > 16
    process = process_with("old")
    process.threads.append(FakeThread(101, 0, (BASE + va + size - 1,)))
    assert put(process, deep, ledger).kind is OutcomeKind.BLOCKED
    entry = replace(QUICK, consistency=Consistency.ENTRY)
    assert put(process, deep, ledger, entry).kind is OutcomeKind.APPLIED


def test_bytes_that_change_between_plan_and_stop_are_seen(
    hotpatch: Hotpatch, ledger: Ledger
) -> None:
    process = process_with("old")

    def meddle(operation: str) -> None:
        if operation == "publish":
            process.before = lambda _: None
            process.write(ENTRY, b"\xcc")

    process.before = meddle
    refusal = put(process, hotpatch, ledger).refusal
    assert refusal is not None and refusal.code is RefusalCode.BYTES_DIFFER
    assert process.read(ENTRY, 1) == b"\xcc"


def _ends_at(process: FakeProcess, step: int) -> Callable[[str], None]:
    counted = []

    def before(operation: str) -> None:
        counted.append(operation)
        process.ended = len(counted) > step

    return before


def test_a_process_that_ends_at_any_step_is_gone(hotpatch: Hotpatch, ledger: Ledger) -> None:
    kinds = []
    for step in range(500):
        process = process_with("old")
        process.identity = Identity(1000 + step, 1, boot_id())
        process.before = _ends_at(process, step)
        kinds.append(put(process, hotpatch, ledger).kind)
        if not process.ended:
            break
    assert kinds[-1] is OutcomeKind.APPLIED
    assert len(kinds) >= 10 and set(kinds[:-1]) <= {OutcomeKind.GONE, OutcomeKind.NOT_MAPPED}


def test_a_child_inherits_what_its_parent_had(hotpatch: Hotpatch, ledger: Ledger) -> None:
    parent = process_with("old")
    put(parent, hotpatch, ledger)
    child = replace(parent, identity=Identity(101, 2, boot_id()))
    assert put(child, hotpatch, ledger).kind is OutcomeKind.ALREADY
    assert take(child, ledger).kind is OutcomeKind.REVERTED


def test_revert_puts_the_old_bytes_back_and_leaves_the_payload(
    hotpatch: Hotpatch, ledger: Ledger
) -> None:
    process = process_with("old")
    original = process.read(ENTRY, 16)
    maps = process.maps()
    put(process, hotpatch, ledger)
    assert process.read(ENTRY, 16) != original
    assert take(process, ledger).kind is OutcomeKind.REVERTED
    assert process.read(ENTRY, 16) == original
    assert len(process.maps()) == len(maps) + 1
    assert take(process, ledger).kind is OutcomeKind.ALREADY
    for _ in range(3):
        assert put(process, hotpatch, ledger).kind is OutcomeKind.APPLIED
        assert take(process, ledger).kind is OutcomeKind.REVERTED
    assert len(process.maps()) == len(maps) + 1


def test_a_thread_in_the_replacement_blocks_the_revert(hotpatch: Hotpatch, ledger: Ledger) -> None:
    process = process_with("old")
    put(process, hotpatch, ledger)
    target = jump_target(process, ENTRY)
    assert target is not None
    process.threads.append(FakeThread(101, target + 3))
    outcome = take(process, ledger)
    assert outcome.kind is OutcomeKind.BLOCKED
    assert outcome.blocked is not None and outcome.blocked.function == "answer"
    assert jump_target(process, ENTRY) == target
    assert ledger.of(process.identity)[0].state is State.APPLIED


def test_a_detour_that_somebody_changed_is_not_reverted_over(
    hotpatch: Hotpatch, ledger: Ledger
) -> None:
    process = process_with("old")
    put(process, hotpatch, ledger)
    process.write(ENTRY, b"\xcc")
    refusal = take(process, ledger).refusal
    assert refusal is not None and refusal.code is RefusalCode.BYTES_DIFFER
    assert process.read(ENTRY, 1) == b"\xcc"


def test_what_a_killed_surgeon_left_is_seen_in_memory(hotpatch: Hotpatch, ledger: Ledger) -> None:
    """The ledger says "intent"; whether it happened, the memory says."""
    process = process_with("old")
    put(process, hotpatch, ledger)
    ledger.record(replace(ledger.of(process.identity)[0], state=State.INTENT))
    assert put(process, hotpatch, ledger).kind is OutcomeKind.ALREADY
    assert take(process, ledger).kind is OutcomeKind.REVERTED
    ledger.record(replace(ledger.of(process.identity)[0], state=State.INTENT))
    assert take(process, ledger).kind is OutcomeKind.ALREADY
    assert put(process, hotpatch, ledger).kind is OutcomeKind.APPLIED


@pytest.mark.parametrize("done", [1, 2])
def test_a_set_that_was_written_in_part_is_taken_out_again(ledger: Ledger, done: int) -> None:
    """Whoever wrote it was killed between two detours."""
    process = process_with("old")
    hotpatch = workshop.hotpatch("answer", "hold_deep", "other")
    originals = {a: process.read(a, 8) for a in (ENTRY, OTHER)}
    put(process, hotpatch, ledger)
    (entry,) = ledger.of(process.identity)
    for write in entry.images[0].writes[done:]:
        process.write(write.address, write.before)
    ledger.record(replace(entry, state=State.INTENT))
    (settled_entry,) = settled(process, ledger, QUICK)
    assert settled_entry.state is State.REVERTED
    assert {a: process.read(a, 8) for a in (ENTRY, OTHER)} == originals
    assert put(process, hotpatch, ledger).kind is OutcomeKind.APPLIED


@pytest.mark.parametrize("loss", ["removed", "damaged"])
def test_a_lost_ledger_is_found_again_in_memory(
    hotpatch: Hotpatch, ledger: Ledger, loss: str
) -> None:
    process = process_with("old")
    original = process.read(ENTRY, 8)
    put(process, hotpatch, ledger)
    (known,) = ledger.of(process.identity)
    (file,) = ledger.folder.glob("processes/*/*.json")
    file.unlink() if loss == "removed" else file.write_text("{")
    assert settled(process, ledger, QUICK) == [known] == ledger.of(process.identity)
    shutil.rmtree(ledger.folder / "hotpatches")
    assert take(process, ledger).kind is OutcomeKind.REVERTED
    assert process.read(ENTRY, 8) == original


def test_a_record_that_lies_is_not_believed(hotpatch: Hotpatch, ledger: Ledger) -> None:
    """The memory is the target's: a record may say anything, and must be borne out."""
    process = process_with("old")
    put(process, hotpatch, ledger)
    (file,) = ledger.folder.glob("processes/*/*.json")
    file.unlink()
    payload = next(m for m in process.maps() if not m.inode)
    record = process.read(payload.start, 4096)
    for at in range(44 + int.from_bytes(record[40:44], "little")):
        process.write(payload.start + at, bytes([record[at] ^ 4]))
        assert settled(process, ledger, QUICK) == []
        process.write(payload.start + at, record[at : at + 1])
    assert len(settled(process, ledger, QUICK)) == 1
