"""The catalogue: everything there is to install, and how each stands to one machine. Pure.

Baselines, hotpatches and ordinary updates of one product or distribution. A hotpatch is for
machines that are exactly on its baseline, which is tracked by what is installed and not by build
numbers: a hotpatch's build is lower than that of the ordinary update of its month, and in October
2025 two updates with one build differed in that one of them took machines off the track.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from hotmend.release.classification import Classification
from hotmend.release.errors import CatalogueError
from hotmend.release.release import Kind, Planning, Release

BEFORE_THE_TABLE = "a baseline from before the table begins"


class RebootBehavior(StrEnum):
    """Azure's words (Microsoft.Compute, softwarePatches: rebootBehavior)."""

    UNKNOWN = "Unknown"
    NEVER = "NeverReboots"
    ALWAYS = "AlwaysRequiresReboot"
    CAN_REQUEST = "CanRequestReboot"


class Content(StrEnum):
    """What an update changes. Only the first two are ever hotpatched."""

    OS = "os"
    PACKAGE = "package"
    DOTNET = ".net"
    DRIVER = "driver"
    FIRMWARE = "firmware"


@dataclass(frozen=True)
class Patch:
    """One thing to install. ``article``: the name it is tracked by, a KB number or
    package=version. ``supersedes``: articles that it makes needless. ``needs``: one of these must
    be installed; empty for nothing. ``leaves_track``: with it installed a machine gets no hotpatch
    until the next baseline. ``live_revert``: it can be undone in running processes."""

    article: str
    title: str
    kind: Kind
    classification: Classification
    reboot: RebootBehavior
    content: Content = Content.OS
    severity: str = ""
    advisories: tuple[str, ...] = ()
    supersedes: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    released: date | None = None
    leaves_track: bool = False
    live_revert: bool = False

    def __post_init__(self) -> None:
        if self.kind is Kind.HOTPATCH and self.content not in (Content.OS, Content.PACKAGE):
            raise CatalogueError(f"{self.article}: {self.content} is never hotpatched")


class State(StrEnum):
    """How a patch stands to a machine. *baseline-first*: a hotpatch whose baseline is missing;
    *off-track*: the machine left the track; *other-channel*: installing it would make it leave."""

    INSTALLED = "installed"
    AVAILABLE = "available"
    SUPERSEDED = "superseded"
    BASELINE_FIRST = "baseline-first"
    OFF_TRACK = "off-track"
    OTHER_CHANNEL = "other-channel"


@dataclass(frozen=True)
class Offer:
    """A patch, and how it stands to a machine."""

    patch: Patch
    state: State
    because: str


def offers(catalogue: Iterable[Patch], installed: Collection[str]) -> list[Offer]:
    """How each patch stands to a machine on which ``installed`` articles are."""
    known = list(catalogue)
    here = [patch for patch in known if patch.article in installed]
    off = _left_track(here)
    found = {p.article: _first_look(p, installed, off) for p in known}
    for patch in known:
        state, _ = found[patch.article]
        if state in (State.INSTALLED, State.AVAILABLE):
            for article in _superseded(patch, known):
                if found.get(article, (State.INSTALLED,))[0] is not State.INSTALLED:
                    found[article] = State.SUPERSEDED, f"{patch.article} supersedes it"
    return [Offer(patch, *found[patch.article]) for patch in known]


def from_history(releases: Iterable[Release]) -> list[Patch]:
    """The catalogue of one product from its published releases, the ordinary channel's beside
    them. Planned rows are no releases."""
    known = sorted(releases, key=lambda r: (r.month, r.released or date.max))
    own_articles = {release.article for release in known}
    patches: list[Patch] = []
    needs: tuple[str, ...] = (BEFORE_THE_TABLE,)
    for release in known:
        if release.kind is Kind.BASELINE:
            needs = (release.article or f"the {release.month} baseline",)
        elif release.kind is Kind.UPDATE and release.on_track:
            needs += (release.article,)
        if not release.article:
            continue
        own = needs if release.kind is Kind.HOTPATCH else ()
        patches.append(_of_release(release, own, _earlier(release, patches)))
        article, build = release.ordinary
        if article and article not in own_articles:
            patches.append(_ordinary(release, article, build, patches))
    return patches


def undo(patch: Patch) -> str:
    """How it is taken back, by the book."""
    if patch.live_revert:
        return f"live: hotmend revert --package {patch.article.partition('=')[0]} --all"
    if patch.content is Content.PACKAGE:
        return "hotmend baseline install FILE, then restart what uses it"
    return "uninstall it, install the last good baseline, restart"


def _first_look(patch: Patch, installed: Collection[str], off: Patch | None) -> tuple[State, str]:
    """Without what supersedes it."""
    if patch.article in installed:
        return State.INSTALLED, ""
    if patch.kind is Kind.HOTPATCH and off is not None:
        return State.OFF_TRACK, f"{off.article} took the machine off the track; baseline first"
    if patch.needs and not set(patch.needs) & set(installed):
        return State.BASELINE_FIRST, f"it is for machines with {' or '.join(patch.needs)}"
    if patch.leaves_track and off is None:
        return State.OTHER_CHANNEL, "it is the ordinary channel's: no hotpatch until a baseline"
    return State.AVAILABLE, ""


def _left_track(here: Iterable[Patch]) -> Patch | None:
    """What took the machine off the track, if no baseline has been installed since."""
    known = list(here)
    left = max((p for p in known if p.leaves_track), key=_when, default=None)
    baseline = max((p for p in known if p.kind is Kind.BASELINE), key=_when, default=None)
    if left is None or (baseline is not None and _when(baseline) > _when(left)):
        return None
    return left


def _when(patch: Patch) -> date:
    return patch.released or date.min


def _superseded(patch: Patch, known: Iterable[Patch]) -> set[str]:
    """Directly, and through what those supersede."""
    by_article = {p.article: p for p in known}
    found: set[str] = set()
    waiting = list(patch.supersedes)
    while waiting:
        article = waiting.pop()
        if article not in found and article != patch.article:
            found.add(article)
            if article in by_article:
                waiting += by_article[article].supersedes
    return found


def _of_release(release: Release, needs: tuple[str, ...], earlier: tuple[str, ...]) -> Patch:
    words = {Kind.BASELINE: "Baseline", Kind.HOTPATCH: "Hotpatch", Kind.UPDATE: "Security update"}
    beside = " Out-of-band" if release.planning is Planning.OUT_OF_BAND else ""
    hot = release.kind is Kind.HOTPATCH
    return Patch(
        article=release.article,
        title=f"{release.month} {words[release.kind]}{beside} for {release.product} "
        f"({release.build or 'build not known'})",
        kind=release.kind,
        classification=Classification.SECURITY,
        reboot=RebootBehavior.NEVER if hot else RebootBehavior.ALWAYS,
        supersedes=earlier,
        needs=needs,
        released=release.released,
        leaves_track=release.kind is Kind.UPDATE and not release.on_track,
    )


def _ordinary(release: Release, article: str, build: str, before: list[Patch]) -> Patch:
    return Patch(
        article=article,
        title=f"{release.month} Cumulative update for {release.product} ({build})",
        kind=Kind.UPDATE,
        classification=Classification.SECURITY,
        reboot=RebootBehavior.ALWAYS,
        supersedes=tuple(p.article for p in before if p.kind is not Kind.HOTPATCH),
        released=release.released,
        leaves_track=True,
    )


def _earlier(release: Release, before: list[Patch]) -> tuple[str, ...]:
    """A hotpatch supersedes the earlier ones of its baseline; the others are cumulative."""
    if release.kind is not Kind.HOTPATCH:
        return tuple(patch.article for patch in before)
    found: list[str] = []
    for patch in reversed(before):
        if patch.kind is Kind.BASELINE:
            break
        if patch.kind is Kind.HOTPATCH:
            found.append(patch.article)
    return tuple(reversed(found))
