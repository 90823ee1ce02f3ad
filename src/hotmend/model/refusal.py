"""A refusal is an answer, not an accident: Hotmend looked, and says no, and why.

Broken input or a broken machine raises an exception; a ``Refusal`` is a value that is carried,
counted, stored in packages and shown to people. Every code has a page under docs/refusals/.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class RefusalCode(StrEnum):
    """Stable names; scripts match on them, so a code is never renamed or reused."""

    # Building: the two builds cannot be reconciled in memory.
    DATA_LAYOUT_CHANGED = "data-layout-changed"
    STATIC_TABLE_CHANGED = "static-table-changed"
    NEW_INITIALISED_DATA = "new-initialised-data"
    UNMAPPED_REFERENCE = "unmapped-reference"
    CONFLICTING_EVIDENCE = "conflicting-evidence"
    UNREDIRECTED_FUNCTION = "unredirected-function"
    NEW_CONSTRUCTOR = "new-constructor"
    NEW_NEEDED = "new-needed"
    NEW_TLS = "new-tls"
    NEVER_RETURNS = "never-returns"
    ENTRY_TOO_SHORT = "entry-too-short"
    BRANCH_INTO_ENTRY = "branch-into-entry"
    EXCEPTION_TABLE = "exception-table"
    RUNS_BEFORE_PATCH = "runs-before-patch"
    DEPENDS_ON_REFUSED = "depends-on-refused"

    # Applying: this process cannot take this hotpatch.
    PROCESS_NOT_PERMITTED = "not-permitted"
    BUILD_ID_MISMATCH = "build-id-mismatch"
    BYTES_DIFFER = "bytes-differ"
    ALREADY_TRACED = "already-traced"
    NOT_64_BIT = "not-64-bit"
    STATIC_TARGET = "static-target"
    NO_ROOM_NEARBY = "no-room-nearby"
    IMPORT_UNRESOLVED = "import-unresolved"
    NOT_INDEPENDENT = "not-independent"
    NEEDS_STOP = "needs-stop"
    MODULE_MAPPED_TWICE = "module-mapped-twice"
    MAPPING_FAILED = "mapping-failed"
    PROCESS_IS_INIT = "process-is-init"
    OPTED_OUT = "opted-out"
    PROCESS_FAILED = "process-failed"

    # Being ordered: the publishers' signed policy, or the order itself, does not let this be done.
    NOT_RELEASED = "not-released"
    OUTSIDE_WINDOW = "outside-window"
    RING_NOT_REACHED = "ring-not-reached"
    TOO_MANY_ORDERS = "too-many-orders"
    ORDER_EXPIRED = "order-expired"
    POLICY_UNREADABLE = "policy-unreadable"


@dataclass(frozen=True)
class Refusal:
    """One "no".

    ``code``: the stable name. ``sentence``: one sentence for a person. ``subject``: what it is
    about, a function, a table, a process. ``evidence``: facts anybody can check again, such as
    old and new bytes or displacements, in a stable order.
    """

    code: RefusalCode
    sentence: str
    subject: str = ""
    evidence: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.code}: {self.sentence}"
