"""Which of the available patches an order means. Pure.

The rules are Azure's (installPatches): articles and masks are in addition to classifications, what
is excluded is not installed whatever chose it, and ``only_without_reboot`` leaves only what never
asks for a restart. Ours: a release's order brings a machine that is not on its baseline there.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from hotmend.model.agent_messages import AvailablePatch, InstallationState, Selection
from hotmend.release.catalogue import RebootBehavior

_CHOSEN = InstallationState.PENDING


def select(
    patches: Iterable[AvailablePatch], selection: Selection
) -> list[tuple[AvailablePatch, InstallationState, str]]:
    """Each patch with *Pending* (it is to be installed), *NotSelected* or *Excluded*, and why.
    Hotpatches come first: they take effect at once."""
    judged = [(patch, *_judge(patch, selection)) for patch in patches]
    return sorted(judged, key=lambda one: (not one[0].hotpatch, one[0].article))


def chosen(state: InstallationState) -> bool:
    """It is to be installed."""
    return state is _CHOSEN


def _judge(patch: AvailablePatch, selection: Selection) -> tuple[InstallationState, str]:
    mask = next((m for m in selection.exclude if _matches(patch, m)), None)
    if mask is not None:
        return InstallationState.EXCLUDED, f"{mask} is excluded"
    first = selection.baseline_first and patch.baseline_first
    restarts = patch.reboot != RebootBehavior.NEVER.value
    if selection.only_without_reboot and restarts and not first:
        return InstallationState.EXCLUDED, "only what never needs a restart was asked for"
    by_class = patch.classification.lower() in {c.lower() for c in selection.classifications}
    if by_class or any(_matches(patch, mask) for mask in selection.include):
        return _CHOSEN, ""
    return InstallationState.NOT_SELECTED, "neither its classification nor its name was chosen"


def _matches(patch: AvailablePatch, mask: str) -> bool:
    """Without case: the article, the package's name, or the KB number."""
    names = (patch.article, patch.article.partition("=")[0], patch.kb)
    return any(name and fnmatchcase(name.lower(), mask.lower()) for name in names)
