"""The audit log: every change of state, chained, and under a Merkle tree that only grows.

Appending costs the same however long the log is: one row says how far it goes (``audit_head``, with
the tree's peaks), and the roots of full subtrees are kept for proofs (``audit_nodes``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from hotmend.model import merkle
from hotmend.model.audit_log import Checked, Entry, digest_of, leaf_of
from hotmend.server.errors import ServerError
from hotmend.server.storage.tables import audit, audit_head, audit_nodes

_PAGE = 1000
_TAKE = (
    update(audit_head)
    .values(size=audit_head.c.size + bindparam("count"))
    .returning(audit_head.c.size, audit_head.c.digest, audit_head.c.peaks)
)


_PUT = update(audit_head).values(digest=bindparam("now_digest"), peaks=bindparam("now_peaks"))


@dataclass(frozen=True)
class Head:
    """How long the log is, and the root of its tree."""

    size: int
    digest: str
    root: bytes


@dataclass(frozen=True)
class Said:
    """``who`` did ``what`` to ``subject``."""

    who: str
    what: str
    subject: str
    details: dict[str, Any]


def append(
    connection: Connection, now: float, who: str, what: str, subject: str, details: dict[str, Any]
) -> None:
    """Write down that ``who`` did ``what`` to ``subject``."""
    append_all(connection, now, [Said(who, what, subject, details)])


def append_all(connection: Connection, now: float, said: Sequence[Said]) -> None:
    """Write down what was done, in this order."""
    if not said:
        return
    # The head is written first: whoever else appends, here or in another replica, waits for it.
    size, digest, peaks = connection.execute(_TAKE, {"count": len(said)}).one()
    grown: Sequence[bytes] = _split(peaks)
    rows, nodes = [], []
    for number, one in enumerate(said, size - len(said) + 1):
        blank = Entry(number, float(now), one.who, one.what, one.subject, one.details, "")
        entry = replace(blank, digest=digest_of(digest, blank))
        digest = entry.digest
        rows.append(vars(entry))
        grown, made = merkle.appended(number - 1, grown, leaf_of(digest))
        nodes += [{"level": level, "index": index, "hash": root} for level, index, root in made]
    connection.execute(insert(audit), rows)
    if nodes:
        connection.execute(insert(audit_nodes), nodes)
    connection.execute(_PUT, {"now_digest": digest, "now_peaks": b"".join(grown)})


def head(connection: Connection) -> Head:
    """As it is now."""
    row = connection.execute(select(audit_head)).one()
    return Head(row.size, row.digest, merkle.root_of(_split(row.peaks)))


def page(connection: Connection, after: int, most: int = _PAGE) -> list[Entry]:
    """Entries in their order, from the one after number ``after`` on."""
    rows = connection.execute(
        select(audit).where(audit.c.number > after).order_by(audit.c.number).limit(most)
    )
    return [Entry(**row._mapping) for row in rows]


def newest(connection: Connection, before: int, most: int) -> list[Entry]:
    """Entries before number ``before``, the newest first."""
    rows = connection.execute(
        select(audit).where(audit.c.number < before).order_by(audit.c.number.desc()).limit(most)
    )
    return [Entry(**row._mapping) for row in rows]


def entries(connection: Connection) -> Iterator[Entry]:
    """All, in their order."""
    after = 0
    while found := page(connection, after):
        yield from found
        after = found[-1].number


def problem(connection: Connection) -> str:
    """What is not as it was written; "" when all is. What was cut off and forgotten by every row,
    or written anew from somewhere on, only a checkpoint tells."""
    known, log = head(connection), Checked()
    for entry in entries(connection):
        if not log.take(entry):
            return f"entry {log.size + 1} is missing or not as it was written"
    if log.size != known.size:
        return f"entry {log.size + 1} is missing: the log had {known.size}"
    if (log.digest, log.root) != (known.digest, known.root):
        return "the head of the log is not that of its entries"
    return ""


def consistency(connection: Connection, first: int, second: int) -> list[bytes]:
    """That the log of ``second`` entries begins with that of ``first``. Raises ServerError where
    the log does not have what that takes."""

    def node(level: int, index: int) -> bytes:
        if level == 0:
            wanted = select(audit.c.digest).where(audit.c.number == index + 1)
            digest = connection.execute(wanted).scalar()
            found = leaf_of(digest) if digest is not None else None
        else:
            wanted_node = select(audit_nodes.c.hash).where(
                audit_nodes.c.level == level, audit_nodes.c.index == index
            )
            found = connection.execute(wanted_node).scalar()
        if found is None:
            raise ServerError(f"the audit log does not have {second} entries")
        return bytes(found)

    return merkle.consistency(node, first, second) if first else []


def _split(peaks: bytes) -> list[bytes]:
    size = merkle.HASH_BYTES
    return [peaks[at : at + size] for at in range(0, len(peaks), size)]
