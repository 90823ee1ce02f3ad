"""Outcomes of processes, as people and programs read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from hotmend.cli import exit_codes
from hotmend.model.outcome import Outcome, OutcomeKind
from hotmend.model.refusal import Refusal

_MARKS = {
    OutcomeKind.APPLIED: "✓",
    OutcomeKind.REVERTED: "✓",
    OutcomeKind.ALREADY: "✓",
    OutcomeKind.OUTDATED: "✗",
    OutcomeKind.NOT_MAPPED: "·",
    OutcomeKind.REFUSED: "✗",
    OutcomeKind.BLOCKED: "⧗",
    OutcomeKind.GONE: "·",
}


def lines(outcomes: Iterable[Outcome]) -> Iterable[str]:
    """One line for each process, and what stands in its way below it."""
    for outcome in outcomes:
        pause = f"  {outcome.pause_ms:.1f} ms paused" if outcome.pause_ms is not None else ""
        yield (
            f"{_MARKS[outcome.kind]} {outcome.command}  {outcome.pid}  {outcome.kind.value}{pause}"
        )
        if outcome.refusal is not None:
            yield f"    {outcome.refusal}"
        if outcome.blocked is not None:
            blocked = outcome.blocked
            yield f"    thread {blocked.tid}: {blocked.function}"
            yield from (f"      {frame}" for frame in blocked.stack[:8])


def as_json(outcome: Outcome) -> dict[str, Any]:
    blocked, refusal = outcome.blocked, outcome.refusal
    return {
        "pid": outcome.pid,
        "command": outcome.command,
        "outcome": outcome.kind.value,
        "pause_ms": outcome.pause_ms,
        "refusal": refusal_as_json(refusal) if refusal is not None else None,
        "blocked": {
            "tid": blocked.tid,
            "function": blocked.function,
            "stack": list(blocked.stack),
        }
        if blocked is not None
        else None,
    }


def refusal_as_json(refusal: Refusal) -> dict[str, Any]:
    return {
        "code": refusal.code.value,
        "sentence": refusal.sentence,
        "evidence": dict(refusal.evidence),
    }


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """A refused process needs a restart; a blocked one, patience."""
    kinds = {outcome.kind for outcome in outcomes}
    if OutcomeKind.REFUSED in kinds:
        return exit_codes.NEEDS_RESTART
    if OutcomeKind.BLOCKED in kinds:
        return exit_codes.WAITING
    return exit_codes.DONE
