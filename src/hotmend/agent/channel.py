"""The signed repository as this machine sees it: releases, and the hotpatches that they name.

The control plane says which releases; what they are is the publishers' to say, and nothing that
their keys did not sign gets past here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from hotmend.agent.allowed import Known
from hotmend.hotpatch.codec import decode
from hotmend.hotpatch.errors import HotpatchError
from hotmend.hotpatch.hotpatch import Hotpatch
from hotmend.model.refusal import Refusal, RefusalCode
from hotmend.release import draft, policy
from hotmend.release.catalogue import Patch
from hotmend.release.debian_catalogue import of_update
from hotmend.release.errors import NotReleased, ReleaseError
from hotmend.release.parity import Update
from hotmend.release.repository.client import Place, View


@dataclass(frozen=True)
class Available:
    """An update of a release. ``package``, ``live``: the patches that it is, on the disk and in
    running processes; ``hotpatch``, ``data``: the latter's, read and as a file; ``released``: when
    all of it was published, None where that is not said."""

    update: Update
    package: Patch
    live: Patch | None = None
    hotpatch: Hotpatch | None = None
    data: bytes = b""
    released: datetime | None = None


@dataclass(frozen=True)
class Looked:
    """``problems``: what could not be had, one sentence each; ``whole``: the releases of which
    everything could."""

    available: tuple[Available, ...]
    problems: tuple[str, ...]
    whole: frozenset[str] = frozenset()


def look(place: Place, releases: Iterable[str], downloads: Path) -> Looked:
    """All updates of ``releases``; of one package the newest one's."""
    found: dict[str, Available] = {}
    problems: list[str] = []
    known: list[tuple[draft.Draft, str, datetime | None]] = []
    names = list(releases)
    if not names:
        return Looked((), ())
    try:
        view = View(place)
    except ReleaseError as error:
        return Looked((), (str(error),))
    for name in names:
        try:
            fetched = view.download(name, downloads)
            text = fetched.path.read_text(encoding="utf-8")
            known.append((draft.decode(text, name), name, fetched.released))
        except NotReleased as error:
            problems.append(str(Refusal(RefusalCode.NOT_RELEASED, str(error), name)))
        except (ReleaseError, OSError, UnicodeDecodeError) as error:
            problems.append(f"{name}: {error}")
    whole = {name for _, name, _ in known}
    # Of one month the one that was published last: an unplanned baseline after its hotpatch.
    for release, name, released in sorted(known, key=lambda one: (one[0].month, _time(one[2]))):
        for update in release.updates:
            try:
                found[update.package] = _available(view, update, released, downloads)
            except (ReleaseError, HotpatchError, OSError) as error:
                problems.append(f"{update.hotpatch}: {error}")
                whole.discard(name)
    return Looked(tuple(found.values()), tuple(problems), frozenset(whole))


def rules(place: Place, downloads: Path) -> Known:
    """The signed rollout policy. One that was read once stays in force while none can be read, and
    when the repository has none any more: whoever hides it gains nothing."""
    kept = downloads / policy.TARGET
    try:
        View(place).download(policy.TARGET, downloads)
        return policy.parse(kept.read_text(encoding="utf-8"))
    except (ReleaseError, OSError, UnicodeDecodeError) as error:
        if kept.exists():
            return _kept(kept)
        if isinstance(error, NotReleased):
            return None
        return Refusal(RefusalCode.POLICY_UNREADABLE, str(error), policy.TARGET)


def available(update: Update, data: bytes, released: datetime | None = None) -> Available:
    """With its hotpatch's file, b"" without one. Raises HotpatchError."""
    package, *live = of_update(update)
    hotpatch = decode(data) if data else None
    return Available(update, package, live[0] if data and live else None, hotpatch, data, released)


def _available(view: View, update: Update, released: datetime | None, downloads: Path) -> Available:
    if not update.hotpatch:
        return available(update, b"", released)
    fetched = view.download(update.hotpatch, downloads)
    # A hotpatch that was published anew is as old as that, whatever the release says.
    both = None if released is None or fetched.released is None else max(released, fetched.released)
    return available(update, fetched.path.read_bytes(), both)


def _time(released: datetime | None) -> float:
    return released.timestamp() if released is not None else 0.0


def _kept(path: Path) -> Known:
    try:
        return policy.parse(path.read_text(encoding="utf-8"))
    except (ReleaseError, OSError, UnicodeDecodeError) as error:
        return Refusal(RefusalCode.POLICY_UNREADABLE, str(error), policy.TARGET)
