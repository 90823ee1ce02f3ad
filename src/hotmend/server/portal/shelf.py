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
from hotmend.server.repository import ServedRepository


@dataclass(frozen=True)
class Published:
    """``name``: of the signed description, which is also its rollout's."""

    name: str
    draft: Draft


def published(repository: ServedRepository) -> list[Published]:
    """The newest month first; what cannot be read is left out."""
    found = []
    for name in repository.releases():
        try:
            found.append(Published(name, draft.decode(repository.text(name), name)))
        except ReleaseError:
            continue
    return sorted(found, key=lambda one: (one.draft.month, one.name), reverse=True)


def of_article(releases: list[Published], article: str) -> tuple[Published, Update] | None:
    """The release and the update that a patch comes from."""
    for one in releases:
        for update in one.draft.updates:
            if any(patch.article == article for patch in of_update(update)):
                return one, update
    return None


def hotpatch(repository: ServedRepository, name: str) -> Hotpatch | None:
    """A hotpatch of the repository by its file's name; None where it has none that can be read."""
    try:
        return decode(repository.read(name))
    except (HotpatchError, ReleaseError):
        return None
