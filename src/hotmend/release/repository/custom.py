"""What the publishers sign of a target beside its size and hash: TUF's ``custom``."""

from __future__ import annotations

from datetime import datetime

from tuf.api.metadata import TargetFile

# When it was published; why it is published unproven; why a release is, with its gaps.
RELEASED, UNPROVEN, GAPS = "released", "unproven", "gaps"


def released(target: TargetFile) -> datetime | None:
    """When it was published; None where nobody said so."""
    custom = target.custom if isinstance(target.custom, dict) else {}
    try:
        moment = datetime.fromisoformat(custom[RELEASED])
    except (KeyError, ValueError, TypeError):
        return None
    return moment if moment.tzinfo is not None else None
