"""The catalogue of a Debian channel: a draft's updates, as hotpatch and as package. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from hotmend.release.catalogue import Content, Patch, RebootBehavior
from hotmend.release.draft import Draft
from hotmend.release.parity import Standing, Update, rows
from hotmend.release.release import Kind

HOTPATCH = "+hotpatch"
"""Behind a package's article: the same update in running processes."""

_KERNEL = ("linux-image-", "linux-headers-")
_FIRMWARE = ("firmware-", "intel-microcode", "amd64-microcode")


def from_draft(draft: Draft) -> list[Patch]:
    """For each update the package, and the hotpatch where there is one. Articles of packages are
    package=version; a hotpatch is for processes of exactly the version that it was built for, which
    may go on when the package on disk is the new one already."""
    return [patch for update in draft.updates for patch in of_update(update)]


def of_update(update: Update) -> Iterator[Patch]:
    """The package, then the hotpatch."""
    package = f"{update.package}={update.new_version}"
    yield Patch(
        article=package,
        title=f"{update.package} {update.old_version} → {update.new_version}",
        kind=Kind.UPDATE,
        classification=update.classification,
        reboot=_reboot(update),
        content=Content.FIRMWARE if update.package.startswith(_FIRMWARE) else Content.PACKAGE,
        advisories=update.advisories,
        supersedes=(f"{update.package}={update.old_version}",),
    )
    if update.hotpatch:
        live = tuple(r.advisory for r in rows([update]) if r.standing is Standing.LIVE)
        yield Patch(
            article=f"{package}{HOTPATCH}",
            title=f"{update.package} {update.new_version} into running processes",
            kind=Kind.HOTPATCH,
            classification=update.classification,
            reboot=RebootBehavior.NEVER,
            content=Content.PACKAGE,
            advisories=live,
            needs=(f"{update.package}={update.old_version}", package),
            live_revert=True,
        )


def _reboot(update: Update) -> RebootBehavior:
    """A package restarts nothing by itself; a kernel runs only after a restart of the machine."""
    if update.package.startswith(_KERNEL):
        return RebootBehavior.ALWAYS
    return RebootBehavior.CAN_REQUEST if update.code else RebootBehavior.NEVER
