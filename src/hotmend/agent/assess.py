"""What could be installed on this machine, and what is: the disk and every process. Pure.

A hotpatch is installed when no process runs the old code any more; a package when the disk has the
new version. Neither stands for the other. A hotpatch is for one build: where the disk has, or a
process runs, an older one, the package comes first, and is missing until that process has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from hotmend.agent import restarts
from hotmend.agent.channel import Available
from hotmend.agent.packages import Upgrade
from hotmend.model.agent_messages import Assessment, AvailablePatch, Needs
from hotmend.model.outcome import Outcome, OutcomeKind
from hotmend.release.catalogue import Patch, RebootBehavior
from hotmend.release.parity import Update
from hotmend.surgery.order import Stale

_KERNEL = "linux-image-"


@dataclass(frozen=True)
class Seen:
    """What the surgeon saw of a hotpatch's processes; ``hidden``: those it could not examine."""

    outcomes: tuple[Outcome, ...]
    hidden: int = 0

    def pids(self, kind: OutcomeKind) -> tuple[int, ...]:
        return tuple(outcome.pid for outcome in self.outcomes if outcome.kind is kind)


def assess(
    available: Iterable[Available],
    seen: Mapping[str, Seen],
    installed: Mapping[str, str],
    upgrades: Iterable[Upgrade],
    stale: Iterable[Stale] = (),
    *,
    older: Callable[[str, str], bool],
    reboot_pending: bool,
) -> Assessment:
    """``seen``: by the hotpatch's article; ``installed``: version by package; ``stale``: who runs
    files that the disk has no more; ``older``: whether a version is, than another."""
    available, stale = list(available), list(stale)
    judged = restarts.judged(stale, replaced(available, seen, stale))
    patches: list[AvailablePatch] = []
    here: list[str] = []
    for one in available:
        update = one.update
        version = installed.get(update.package)
        behind = _behind(one, stale)
        first = _baseline_first(update, version, behind) if one.live is not None else ""
        if version == update.new_version and not first:
            here.append(one.package.article)
        elif version == update.old_version or (
            version is not None and not older(update.new_version, version)
        ):
            pids = tuple(process.pid for process in behind)
            patches.append(_patch(one.package, update.new_version, pids, first=first))
        if one.live is not None:
            looked = seen[one.live.article]
            outdated = looked.pids(OutcomeKind.OUTDATED)
            patched = looked.pids(OutcomeKind.ALREADY)
            if outdated:
                patches.append(_patch(one.live, update.new_version, outdated, patched))
            elif patched:
                here.append(one.live.article)
    known = {patch.article for patch in patches}
    patches += [
        _of_apt(upgrade) for upgrade in upgrades if f"{upgrade.name}={upgrade.new}" not in known
    ]
    unexamined = max((looked.hidden for looked in seen.values()), default=0)
    pending = reboot_pending or any(one.needs is Needs.REBOOT for one in judged)
    return Assessment(pending, tuple(patches), tuple(here), unexamined, judged)


def replaced(
    available: Iterable[Available], seen: Mapping[str, Seen], stale: Iterable[Stale]
) -> dict[int, frozenset[str]]:
    """By pid, the files of which nothing old is left to run: a hotpatch that carries all of its
    update is in place."""
    found: dict[int, frozenset[str]] = {}
    files = {one.pid: one.files for one in stale}
    for one in available:
        if one.live is None or one.hotpatch is None or one.hotpatch.left:
            continue
        names = tuple(image.name for image in one.hotpatch.images)
        for pid in seen[one.live.article].pids(OutcomeKind.ALREADY):
            mine = {f for f in files.get(pid, ()) if PurePath(f).name.startswith(names)}
            found[pid] = found.get(pid, frozenset()) | mine
    return found


def _behind(one: Available, stale: Iterable[Stale]) -> Sequence[Stale]:
    """Who runs a file that the hotpatch changes, of another build than it is for: neither the old
    one nor, should the disk have a still newer one, the fixed one."""
    if one.live is None or one.hotpatch is None:
        return ()
    images = one.hotpatch.images

    def another(file: str, build: str) -> bool:
        return bool(build) and any(
            PurePath(file).name.startswith(image.name)
            and build not in (image.old_build_id.hex, image.new_build_id.hex)
            for image in images
        )

    return [one for one in stale if any(map(another, one.files, one.builds))]


def _baseline_first(update: Update, version: str | None, behind: Sequence[Stale]) -> str:
    baseline = f"{update.package} {update.old_version}"
    if version not in (None, update.old_version, update.new_version):
        return f"{update.package} {version} is installed, and the hotpatch is for {baseline}"
    if behind:
        who = f"{behind[0].command} {behind[0].pid}"
        more = f" and {len(behind) - 1} more" if len(behind) > 1 else ""
        return f"{who}{more} run another build than {baseline}, for which the hotpatch is"
    return ""


def _patch(
    patch: Patch,
    version: str,
    outdated: tuple[int, ...] = (),
    patched: tuple[int, ...] = (),
    *,
    first: str = "",
) -> AvailablePatch:
    return AvailablePatch(
        article=patch.article,
        name=patch.title,
        version=version,
        classification=patch.classification.value,
        reboot=patch.reboot.value,
        hotpatch=patch.live_revert,
        severity=patch.severity,
        advisories=patch.advisories,
        outdated=outdated,
        patched=patched,
        baseline_first=first,
    )


def _of_apt(upgrade: Upgrade) -> AvailablePatch:
    kernel = upgrade.name.startswith(_KERNEL)
    return AvailablePatch(
        article=f"{upgrade.name}={upgrade.new}",
        name=f"{upgrade.name} {upgrade.old} → {upgrade.new}",
        version=upgrade.new,
        classification=upgrade.classification.value,
        reboot=(RebootBehavior.ALWAYS if kernel else RebootBehavior.CAN_REQUEST).value,
        hotpatch=False,
    )
