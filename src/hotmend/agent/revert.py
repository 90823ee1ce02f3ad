"""A live revert: hotpatches are taken out of memory, and what came of each. The disk stays."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hotmend.agent.channel import Available
from hotmend.agent.install import of_processes, why
from hotmend.agent.surgery_port import Surgery
from hotmend.model.agent_messages import (
    Installation,
    InstallationState,
    Order,
    PatchResult,
    RebootStatus,
)
from hotmend.model.outcome import Outcome, OutcomeKind
from hotmend.model.refusal import Refusal
from hotmend.surgery.errors import SurgeryError

_STILL_IN = (OutcomeKind.REFUSED, OutcomeKind.BLOCKED)


def revert(
    order: Order,
    hotpatches: Mapping[str, Available],
    surgery: Surgery,
    permit: Callable[[], Refusal | None],
) -> Installation:
    """Take out what ``order`` includes by its article, and nothing else; ``hotpatches``: those that
    are known here, by article. *Pending*: it is out of every process, and could be installed again;
    *Failed*: it is not, or not known here. Doing it twice is doing it once."""
    results = []
    for article in dict.fromkeys(order.selection.include):
        refusal = permit()
        if refusal is not None:
            results.append(_result(article, InstallationState.FAILED, str(refusal)))
        elif article not in hotpatches:
            because = "no hotpatch of that name is known here"
            results.append(_result(article, InstallationState.FAILED, because))
        else:
            results.append(_out_of_memory(article, hotpatches[article], surgery))
    return Installation(tuple(results), RebootStatus.NOT_NEEDED)


def _out_of_memory(article: str, hotpatch: Available, surgery: Surgery) -> PatchResult:
    try:
        outcomes = surgery.revert(hotpatch.data)
    except SurgeryError as error:
        return _result(article, InstallationState.FAILED, str(error), hotpatch)
    left = [outcome for outcome in outcomes if outcome.kind in _STILL_IN]
    out = sum(outcome.kind is OutcomeKind.REVERTED for outcome in outcomes)
    if not left:
        because = f"the saved bytes are back in {out} processes"
        return _result(article, InstallationState.PENDING, because, hotpatch, outcomes)
    because = f"{len(left)} of {len(outcomes)} processes still have it: {why(left[0])}"
    return _result(article, InstallationState.FAILED, because, hotpatch, outcomes)


def _result(
    article: str,
    state: InstallationState,
    because: str,
    hotpatch: Available | None = None,
    outcomes: tuple[Outcome, ...] = (),
) -> PatchResult:
    if hotpatch is None or hotpatch.live is None:
        return PatchResult(article, article, "", "", state, because=because)
    return PatchResult(
        article,
        hotpatch.live.title,
        hotpatch.update.new_version,
        hotpatch.live.classification.value,
        state,
        because=because,
        processes=of_processes(outcomes),
    )
