"""Sentences that several commands print alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hotmend.model.advisory import AdvisoryState, AdvisoryVerdict

_MARKS = {AdvisoryState.LIVE: "✓", AdvisoryState.NEEDS_RESTART: "✗", AdvisoryState.UNKNOWN: "?"}


def plural(count: int, noun: str) -> str:
    """ "1 function", "2,451 functions"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def advisory_lines(advisories: Iterable[AdvisoryVerdict]) -> Iterator[str]:
    """One line for each verdict: mark, name, state, and by what it was reached."""
    for verdict in advisories:
        yield (
            f"{_MARKS[verdict.state]} {verdict.id}  {verdict.state.value}  "
            f"({verdict.ground.value}: {verdict.because})"
        )
