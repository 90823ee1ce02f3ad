"""An installation: hotpatches into memory, packages onto the disk, and what came of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from hotmend.agent import restarts, selection
from hotmend.agent.channel import Available
from hotmend.agent.errors import AgentError
from hotmend.agent.surgery_port import Surgery
from hotmend.agent.window import MaintenanceWindow
from hotmend.model.agent_messages import (
    Assessment,
    AvailablePatch,
    Installation,
    InstallationState,
    Needs,
    Order,
    PatchResult,
    ProcessResult,
    RebootSetting,
    RebootStatus,
    RunStatus,
    StaleProcess,
)
from hotmend.model.outcome import Outcome, OutcomeKind
from hotmend.model.refusal import Refusal
from hotmend.release.catalogue import RebootBehavior
from hotmend.surgery.errors import SurgeryError

_STILL_OLD = (OutcomeKind.REFUSED, OutcomeKind.BLOCKED)


class Installer(Protocol):
    """Puts packages onto the disk."""

    def install(self, name: str, version: str) -> None:
        """Raises AgentError."""


StillOld = Callable[[str], Sequence[StaleProcess]]
"""The processes that run the old code of the package with that name. Raises AgentError,
SurgeryError."""


def install(
    order: Order,
    began: float,
    assessment: Assessment,
    hotpatches: Mapping[str, Available],
    surgery: Surgery,
    installer: Installer,
    still_old: StillOld,
    now: Callable[[], float],
    permit: Callable[[str], Refusal | None],
) -> Installation:
    """Carry out ``order``, begun at ``began``, on what ``assessment`` found; ``hotpatches`` by
    article. ``permit``: asked for each article right before it is begun. Doing it twice is doing it
    once: what is in place stays."""
    window = MaintenanceWindow(began, order.maximum_s)
    results: list[PatchResult] = []
    stale: list[StaleProcess] = []
    exceeded = restart = False
    for patch, state, because in selection.select(assessment.patches, order.selection):
        if not selection.chosen(state):
            results.append(_result(patch, state, because))
        elif (refusal := permit(patch.article)) is not None:
            results.append(_result(patch, InstallationState.FAILED, str(refusal)))
        elif not window.may_begin(now(), hotpatch=patch.hotpatch):
            exceeded = True
            results.append(_result(patch, InstallationState.PENDING, "no time was left for it"))
        elif patch.hotpatch:
            results.append(_into_memory(patch, hotpatches[patch.article].data, surgery))
        else:
            result, old = _onto_disk(patch, installer, still_old)
            results.append(result)
            stale += old
            restart |= order.selection.baseline_first and bool(patch.baseline_first and old)
    reboot = RebootStatus.REQUIRED if restart else _reboot(assessment, results, stale)
    return Installation(tuple(results), reboot, exceeded)


def wants_restart(order: Order, done: Installation, began: float, now: float) -> bool:
    """Whether the order's reboot setting asks for a restart now, and leaves time for it."""
    wanted = order.reboot is RebootSetting.ALWAYS or (
        order.reboot is RebootSetting.IF_REQUIRED and done.reboot is RebootStatus.REQUIRED
    )
    return wanted and MaintenanceWindow(began, order.maximum_s).may_restart(now)


def status(done: Installation) -> RunStatus:
    """Azure's rule: one update that failed, or a window that was too short, and the run failed."""
    failed = any(patch.state is InstallationState.FAILED for patch in done.patches)
    return RunStatus.FAILED if failed or done.window_exceeded else RunStatus.SUCCEEDED


def _into_memory(patch: AvailablePatch, data: bytes, surgery: Surgery) -> PatchResult:
    try:
        outcomes = surgery.apply(data)
    except SurgeryError as error:
        return _result(patch, InstallationState.FAILED, str(error))
    old = [outcome for outcome in outcomes if outcome.kind in _STILL_OLD]
    if not old:
        return _result(patch, InstallationState.INSTALLED, "", outcomes)
    because = f"{len(old)} of {len(outcomes)} processes still run the old code: {why(old[0])}"
    return _result(patch, InstallationState.FAILED, because, outcomes)


def _onto_disk(
    patch: AvailablePatch, installer: Installer, still_old: StillOld
) -> tuple[PatchResult, Sequence[StaleProcess]]:
    name, _, version = patch.article.partition("=")
    try:
        installer.install(name, version)
    except AgentError as error:
        return _result(patch, InstallationState.FAILED, str(error)), ()
    try:
        stale = still_old(name)
    except (AgentError, SurgeryError) as error:
        because = f"no service was restarted; which processes run the old code is unknown: {error}"
        return _result(patch, InstallationState.INSTALLED, because), ()
    because = "; ".join(filter(None, (patch.baseline_first, restarts.sentence(stale))))
    result = _result(patch, InstallationState.INSTALLED, because)
    processes = tuple(
        ProcessResult(one.pid, one.command, OutcomeKind.OUTDATED.value, because=one.needs.value)
        for one in stale
    )
    return replace(result, processes=processes), stale


def _reboot(
    assessment: Assessment, results: Iterable[PatchResult], stale: Iterable[StaleProcess]
) -> RebootStatus:
    done = {r.article for r in results if r.state is InstallationState.INSTALLED}
    asks = any(
        p.article in done and p.reboot == RebootBehavior.ALWAYS.value for p in assessment.patches
    )
    asks |= assessment.reboot_pending or any(one.needs is Needs.REBOOT for one in stale)
    return RebootStatus.REQUIRED if asks else RebootStatus.NOT_NEEDED


def _result(
    patch: AvailablePatch,
    state: InstallationState,
    because: str,
    outcomes: Iterable[Outcome] = (),
) -> PatchResult:
    return PatchResult(
        article=patch.article,
        name=patch.name,
        version=patch.version,
        classification=patch.classification,
        state=state,
        kb=patch.kb,
        because=because,
        processes=of_processes(outcomes),
    )


def of_processes(outcomes: Iterable[Outcome]) -> tuple[ProcessResult, ...]:
    """What became of each."""
    return tuple(
        ProcessResult(o.pid, o.command, o.kind.value, o.pause_ms, why(o)) for o in outcomes
    )


def why(outcome: Outcome) -> str:
    """What stood in its way; "" for nothing."""
    if outcome.refusal is not None:
        return f"{outcome.refusal.code.value}: {outcome.refusal.sentence}"
    if outcome.blocked is not None:
        return f"thread {outcome.blocked.tid} is in {outcome.blocked.function}"
    return ""
