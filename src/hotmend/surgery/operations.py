"""An order carried out, process after process: every one ends in an outcome."""

from __future__ import annotations

from collections.abc import Iterator

from hotmend.hotpatch.hotpatch import Hotpatch
from hotmend.model.build_id import BuildId
from hotmend.model.outcome import Outcome, OutcomeKind
from hotmend.model.refusal import Refusal, RefusalCode
from hotmend.surgery import optout
from hotmend.surgery.apply import apply
from hotmend.surgery.errors import NotPermitted, ProcessError, ProcessGone, Refused
from hotmend.surgery.ledger import Ledger, LedgerEntry, State
from hotmend.surgery.linux import LinuxProcess
from hotmend.surgery.order import Order, Stale, Summary
from hotmend.surgery.outdated import scan
from hotmend.surgery.procfs import lives
from hotmend.surgery.publishing import Terms
from hotmend.surgery.revert import revert
from hotmend.surgery.settle import Unsettled, remembered, settled
from hotmend.surgery.standing import in_place
from hotmend.surgery.targets import INIT, Finder, why_not_mapped
from hotmend.surgery.verify import verify

# Of one process; an answer has a bound.
_MOST_FILES = 200


def apply_to(order: Order, hotpatch: Hotpatch, ledger: Ledger) -> Iterator[Outcome | Summary]:
    """Apply ``hotpatch``, which is kept in ``ledger``, as ordered."""
    ledger.tidy(lives)
    pids, hidden = list(order.pids), 0
    if order.mapped_only or not pids:
        finder = Finder(image.old_build_id for image in hotpatch.images)
        pids, hidden = finder.among(pids) if pids else finder.everywhere()
        # Process 1 comes last: whatever goes wrong, goes wrong before.
        pids = [p for p in pids if p != INIT] + [INIT] * (order.include_init and INIT in pids)
    for pid in pids:
        yield _apply_one(pid, hotpatch, order, ledger)
    yield Summary(hidden)


def look_at(order: Order, hotpatch: Hotpatch, ledger: Ledger) -> Iterator[Outcome | Summary]:
    """Which processes map an old build of ``hotpatch``, and which of them have it in place."""
    pids, hidden = list(order.pids), 0
    if not pids:
        pids, hidden = Finder(image.old_build_id for image in hotpatch.images).everywhere()
    for pid in pids:
        try:
            with LinuxProcess(pid, writable=False) as process:
                has = any(
                    entry.sha256 == order.sha256 and in_place(process, entry)
                    for entry in remembered(process, ledger)
                )
                kind = OutcomeKind.ALREADY if has else OutcomeKind.OUTDATED
                yield Outcome(pid, process.command, kind)
        except ProcessGone:
            continue
        except (Refused, NotPermitted, ProcessError):
            hidden += 1
    yield Summary(hidden)


def verify_in(order: Order, ledger: Ledger) -> Iterator[Outcome | Summary]:
    """Read again what is in force: *already* where all is as written, else what differs."""
    known, damaged = ledger.entries()
    for entry in known:
        chosen = not order.pids or entry.identity.pid in order.pids
        if entry.state is State.APPLIED and chosen:
            yield _verify_one(entry)
    yield Summary(0, tuple(damaged))


def stale_processes() -> Iterator[Stale | Summary]:
    """Who runs files that the disk has no more."""
    processes, hidden = scan()
    finder = Finder(())
    for process in processes:
        files = tuple(file.path for file in process.outdated[:_MOST_FILES])
        if files:
            known = finder.builds(process.pid)
            found = (known.get(file) for file in files)
            builds = tuple(build.hex if build else "" for build in found)
            yield Stale(process.pid, process.command, files, builds)
    yield Summary(hidden)


def revert_in(order: Order, ledger: Ledger) -> Iterator[Outcome | Summary]:
    """Revert what the order names, wherever it is applied."""
    known, damaged = ledger.entries()
    builds = {BuildId(i.old_build_id) for e in known if _meant(e, order) for i in e.images}
    builds |= {BuildId(build) for build in order.builds}
    pids, hidden = list(order.pids), 0
    if not pids and builds:
        pids, hidden = Finder(builds).everywhere()
    for pid in pids:
        yield from _revert_one(pid, order, ledger)
    yield Summary(hidden, tuple(damaged))


def _apply_one(pid: int, hotpatch: Hotpatch, order: Order, ledger: Ledger) -> Outcome:
    if pid == INIT and not order.include_init:
        return _refused(
            pid,
            "init",
            Refusal(
                RefusalCode.PROCESS_IS_INIT,
                "process 1 is patched only on request; add --include-init",
                "1",
            ),
        )
    try:
        with LinuxProcess(pid) as process:
            unwilling = optout.asked_for(pid, process.command)
            if unwilling is not None:
                return _refused(pid, process.command, unwilling)
            outcome = apply(process, hotpatch, order.sha256, ledger, _terms(order))
            if outcome.kind is not OutcomeKind.NOT_MAPPED:
                return outcome
            why = why_not_mapped(process) or _not_this_build(process, hotpatch)
            return outcome if why is None else _refused(pid, process.command, why)
    except ProcessGone:
        return Outcome(pid, "?", OutcomeKind.GONE)
    except Refused as no:
        return _refused(pid, "?", no.refusal)
    except NotPermitted as error:
        return _refused(pid, "?", _not_permitted(pid, error))
    except ProcessError as error:
        return _refused(pid, "?", _failed(pid, error))


def _verify_one(entry: LedgerEntry) -> Outcome:
    pid = entry.identity.pid
    try:
        if not lives(entry.identity):
            return Outcome(pid, entry.command, OutcomeKind.GONE)
        with LinuxProcess(pid, writable=False) as process:
            differences = verify(process, entry)
    except ProcessGone:
        return Outcome(pid, entry.command, OutcomeKind.GONE)
    except Refused as no:
        return _refused(pid, entry.command, no.refusal)
    except NotPermitted as error:
        return _refused(pid, entry.command, _not_permitted(pid, error))
    except ProcessError as error:
        return _refused(pid, entry.command, _failed(pid, error))
    if differences:
        return _refused(pid, entry.command, differences[0])
    return Outcome(pid, entry.command, OutcomeKind.ALREADY)


def _revert_one(pid: int, order: Order, ledger: Ledger) -> Iterator[Outcome]:
    try:
        with LinuxProcess(pid) as process:
            for entry in reversed(settled(process, ledger, _terms(order))):
                if entry.state is not State.REVERTED and _meant(entry, order):
                    yield revert(process, entry, ledger, _terms(order))
    except ProcessGone:
        yield Outcome(pid, "?", OutcomeKind.GONE)
    except Refused as no:
        yield _refused(pid, "?", no.refusal)
    except Unsettled as later:
        yield later.outcome
    except NotPermitted as error:
        yield _refused(pid, "?", _not_permitted(pid, error))
    except ProcessError as error:
        yield _refused(pid, "?", _failed(pid, error))


def _meant(entry: LedgerEntry, order: Order) -> bool:
    return order.sha256 in ("", entry.sha256) and order.package in ("", entry.package)


def _terms(order: Order) -> Terms:
    return Terms(order.consistency, order.budget_ms, order.patience_s)


def _refused(pid: int, command: str, refusal: Refusal) -> Outcome:
    return Outcome(pid, command, OutcomeKind.REFUSED, refusal=refusal)


def _not_permitted(pid: int, error: NotPermitted) -> Refusal:
    return Refusal(RefusalCode.PROCESS_NOT_PERMITTED, str(error), str(pid))


def _failed(pid: int, error: ProcessError) -> Refusal:
    """Something broke at this process; the others are not to suffer from it."""
    return Refusal(
        RefusalCode.PROCESS_FAILED,
        f"{error}; hotmend verify --pid {pid} shows how it stands",
        str(pid),
    )


def _not_this_build(process: LinuxProcess, hotpatch: Hotpatch) -> Refusal | None:
    """The process maps an image of that name, but another build of it."""
    names = {image.name: image for image in hotpatch.images}
    for module in process.modules():
        image = next((i for n, i in names.items() if module.name.startswith(n)), None)
        if image is not None and module.build_id is not None:
            if module.build_id == image.new_build_id:
                return None
            return Refusal(
                RefusalCode.BUILD_ID_MISMATCH,
                f"process {process.pid} runs another build of {image.name} than this hotpatch is "
                f"for ({hotpatch.old_version or image.old_build_id.short})",
                image.name,
                (
                    ("process has", module.build_id.hex),
                    ("hotpatch is for", image.old_build_id.hex),
                ),
            )
    return None
