"""What the server's repository offers, for people to look at. What is installed is for the machines
to check: nothing here vouches for a signature."""

from __future__ import annotations

from dataclasses import dataclass

from hotmend.hotpatch.codec import decode
from hotmend.hotpatch.errors import HotpatchError
from hotmend.hotpatch.hotpatch import Hotpatch
from hotmend.release import draft
from hotmend.release.debian_catalogue import of_update
from hotmend.release.draft import Draft
from hotmend.release.errors import ReleaseError
from hotmend.release.parity import Update
from hotmend.server.folder import DataFolder


@dataclass(frozen=True)
class Published:
    """``name``: of the signed description, which is also its rollout's."""

    name: str
    draft: Draft


def published(folder: DataFolder) -> list[Published]:
    """The newest month first; what cannot be read is left out."""
    found = []
    for name in folder.releases():
        try:
            found.append(Published(name, draft.decode(folder.target(name), name)))
        except (ReleaseError, OSError, UnicodeDecodeError):
            continue
    return sorted(found, key=lambda one: (one.draft.month, one.name), reverse=True)


def of_article(releases: list[Published], article: str) -> tuple[Published, Update] | None:
    """The release and the update that a patch comes from."""
    for one in releases:
        for update in one.draft.updates:
            if any(patch.article == article for patch in of_update(update)):
                return one, update
    return None


def hotpatch(folder: DataFolder, name: str) -> Hotpatch | None:
    """A hotpatch of the repository by its file's name; None where it has none that can be read."""
    if not name or "/" in name:
        return None
    found = list((folder.repository / "targets").glob(f"*.{name}"))
    newest = max(found, key=lambda path: path.stat().st_mtime, default=None)
    if newest is None:
        return None
    try:
        return decode(newest.read_bytes())
    except (HotpatchError, OSError):
        return None
