"""Switching the entries of independent functions while all threads run.

Not by writing into code that others execute: a page with the detours in it is made ready aside,
and takes the place of the old one in one step of the kernel's. A thread runs the one page or the
other; that either is right wherever it stands is what ``short_detour`` is for.
"""

from __future__ import annotations

from collections.abc import Sequence

from hotmend.model.refusal import Refusal, RefusalCode
from hotmend.surgery.ledger import LedgerEntry
from hotmend.surgery.plan import Plan
from hotmend.surgery.process import PAGE, Attempt, Ending, Process


def needs_stop(process: Process, plan: Plan, in_force: Sequence[LedgerEntry]) -> Refusal | None:
    """Why this plan cannot be carried out while threads run."""
    if in_force:
        return _refusal(
            f"{in_force[0].package} {in_force[0].version} is in force and would be superseded "
            "function by function"
        )
    for page in _pages(plan):
        if not process.may_exchange(page):
            return _refusal(f"the page of code at {page:#x} is not as its file has it")
    return None


def switch(process: Process, plan: Plan) -> Attempt:
    """Exchange every page that has entries. Raises Refused, ProcessError, ProcessGone."""
    last = max((image.payload for image in plan.images), key=lambda payload: payload.address)
    scratch = last.address + last.size + PAGE  # the page between may be the unwinder's
    for page, changes in _pages(plan).items():
        data = bytearray(process.read(page, PAGE))
        for address, before, after in changes:
            inside = slice(address - page, address - page + len(after))
            if before and data[inside] != before:
                return Attempt(Ending.BYTES_DIFFER, 0.0, 0, None, f"at {address:#x}")
            data[inside] = after
        process.exchange_page(page, bytes(data), scratch)
    return Attempt(Ending.PUBLISHED, 0.0, 0)


def _pages(plan: Plan) -> dict[int, list[tuple[int, bytes, bytes]]]:
    """What changes, (address, bytes before, bytes after), by page. A way lies in front of its entry
    (b"" before: what is there was looked at by the plan), so in ascending order it is there first.
    """
    changes = [
        change
        for image in plan.images
        for change in (
            *((address, b"", data) for address, data in image.ways),
            *((d.write.address, d.write.before, d.write.after) for d in image.detours),
        )
    ]
    pages: dict[int, list[tuple[int, bytes, bytes]]] = {}
    for address, before, after in sorted(changes):
        done = 0
        while done < len(after):
            page = (address + done) // PAGE * PAGE
            room = page + PAGE - address - done
            part = slice(done, done + room)
            pages.setdefault(page, []).append((address + done, before[part], after[part]))
            done += len(after[part])
    return pages


def _refusal(why: str) -> Refusal:
    return Refusal(RefusalCode.NEEDS_STOP, f"{why}; use --consistency strict")
