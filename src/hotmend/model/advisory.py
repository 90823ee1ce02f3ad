"""What one advisory gets from one hotpatch: the verdict, and by what it was reached."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class AdvisoryState(StrEnum):
    """Whether a process that runs the hotpatch is rid of the flaw."""

    LIVE = "live"
    NEEDS_RESTART = "needs-restart"
    UNKNOWN = "unknown"


class Ground(StrEnum):
    """By what a verdict was reached."""

    WHOLE_SET = "whole-set-carried"
    SOURCE = "source-patches"
    PROOF = "proof"
    NOTHING = "nothing-tells"


@dataclass(frozen=True)
class AdvisoryVerdict:
    """``id``: a CVE or DSA name. ``because``: one sentence, for people."""

    id: str
    state: AdvisoryState
    ground: Ground
    because: str
