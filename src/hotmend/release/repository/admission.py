"""What may become a target, and what everybody who signs for it signs with it.

A hotpatch has to carry a statement that it was proven, a release to have no gaps, a policy to be
one that agents understand. For the first two the publishers may say why not, and sign for that.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from hotmend.hotpatch.codec import decode
from hotmend.hotpatch.errors import HotpatchError
from hotmend.release import draft, policy
from hotmend.release.attestation import proven
from hotmend.release.errors import CatalogueError, RepositoryError
from hotmend.release.parity import SIGNATURES_FOR_AN_EXCEPTION, propose
from hotmend.release.repository.custom import GAPS, RELEASED, UNPROVEN

HOTPATCH = ".hotpatch"
DRAFT = "release.json"


def admit(path: Path, now: datetime, signers: int, unproven: str, gaps: str) -> dict[str, str]:
    """The target's ``custom``. ``signers``: how many must sign for targets; ``unproven``, ``gaps``:
    why it is published all the same, "" for not. Raises RepositoryError."""
    custom = {RELEASED: now.isoformat(timespec="seconds")}
    because = _why_unproven(path)
    if because and not unproven:
        raise RepositoryError(f"{path.name} is unproven: {because}")
    if because:
        custom[UNPROVEN] = unproven
    missing = _gaps(path)
    if missing and not gaps:
        raise RepositoryError(f"{path.name} has gaps: {missing}")
    if missing and signers < SIGNATURES_FOR_AN_EXCEPTION:
        raise RepositoryError(
            f"{path.name} has gaps, for which {SIGNATURES_FOR_AN_EXCEPTION} publishers must sign; "
            f"the targets' threshold is {signers}"
        )
    if missing:
        custom[GAPS] = gaps
    if path.name == policy.TARGET:
        _check_policy(path)
    return custom


def _why_unproven(path: Path) -> str:
    """ "" for a proven hotpatch, and for what is none."""
    if path.suffix != HOTPATCH:
        return ""
    try:
        return proven(decode(path.read_bytes()))
    except (OSError, HotpatchError) as error:
        raise RepositoryError(f"{path.name} is no hotpatch: {error}") from None


def _gaps(path: Path) -> str:
    """What a release's draft lacks, "" for none, and for what is no draft."""
    if not path.name.endswith(DRAFT):
        return ""
    try:
        release = draft.decode(_text(path), path.name)
    except CatalogueError as error:
        raise RepositoryError(str(error)) from None
    return "; ".join(propose(release.updates).gap_reasons)


def _check_policy(path: Path) -> None:
    """Agents allow nothing under a policy that they cannot read."""
    try:
        policy.parse(_text(path))
    except CatalogueError as error:
        raise RepositoryError(f"{path.name} would stop every agent: {error}") from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RepositoryError(f"{path.name} cannot be read: {error}") from None
