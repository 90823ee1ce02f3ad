"""The signed repository as this machine sees it: releases, and the hotpatches that they name.

The control plane says which releases; what they are is the publishers' to say, and nothing that
their keys did not sign gets past here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hotmend.hotpatch.codec import decode
from hotmend.hotpatch.errors import HotpatchError
from hotmend.hotpatch.hotpatch import Hotpatch
from hotmend.release import draft
from hotmend.release.catalogue import Patch
from hotmend.release.debian_catalogue import of_update
from hotmend.release.errors import ReleaseError
from hotmend.release.parity import Update
from hotmend.release.repository import client
from hotmend.release.repository.client import Place


@dataclass(frozen=True)
class Available:
    """An update of a release. ``package``, ``live``: the patches that it is, on the disk and in
    running processes; ``hotpatch``, ``data``: the latter's, read and as a file."""

    update: Update
    package: Patch
    live: Patch | None = None
    hotpatch: Hotpatch | None = None
    data: bytes = b""


@dataclass(frozen=True)
class Looked:
    """``problems``: what could not be had, one sentence each."""

    available: tuple[Available, ...]
    problems: tuple[str, ...]


def look(place: Place, releases: Iterable[str], downloads: Path) -> Looked:
    """All updates of ``releases``; of one package the newest month's."""
    found: dict[str, Available] = {}
    problems: list[str] = []
    known: list[draft.Draft] = []
    for name in releases:
        try:
            path = client.download(place, name, downloads)
            known.append(draft.decode(path.read_text(encoding="utf-8"), name))
        except (ReleaseError, OSError, UnicodeDecodeError) as error:
            problems.append(f"{name}: {error}")
    for release in sorted(known, key=lambda one: one.month):
        for update in release.updates:
            try:
                data = _hotpatch(place, update, downloads)
                found[update.package] = available(update, data)
            except (ReleaseError, HotpatchError, OSError) as error:
                problems.append(f"{update.hotpatch}: {error}")
    return Looked(tuple(found.values()), tuple(problems))


def available(update: Update, data: bytes) -> Available:
    """With its hotpatch's file, b"" without one. Raises HotpatchError."""
    package, *live = of_update(update)
    hotpatch = decode(data) if data else None
    return Available(update, package, live[0] if data and live else None, hotpatch, data)


def _hotpatch(place: Place, update: Update, downloads: Path) -> bytes:
    if not update.hotpatch:
        return b""
    return client.download(place, update.hotpatch, downloads).read_bytes()
