"""Signed checkpoints of the audit log: made now and then, remembered by the agents.

A server that is broken into can write what it likes; it cannot take back what agents have seen.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from contextlib import suppress

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import SQLAlchemyError

from hotmend.model.audit_log import Checkpoint, Note, key_hash, parsed
from hotmend.server.errors import ServerError
from hotmend.server.storage import audit
from hotmend.server.storage.database import Database
from hotmend.server.storage.tables import checkpoints

_EVERY_S = 10.0
_KNOWN_PROOFS = 4096


class Checkpoints:
    """``origin``: the log's name."""

    def __init__(
        self, database: Database, key: Ed25519PrivateKey, origin: str, clock: Callable[[], float]
    ) -> None:
        self._database = database
        self._key = key
        self._origin = origin
        self._clock = clock
        self._newest: Note | None = None
        self._proofs: dict[tuple[int, int], asyncio.Future[tuple[str, ...]]] = {}

    @property
    def public(self) -> bytes:
        """Of the key, 32 bytes."""
        return self._key.public_key().public_bytes_raw()

    async def run(self) -> None:
        """For as long as the server runs."""
        while True:
            with suppress(SQLAlchemyError):
                self._newest = await asyncio.wrap_future(self._database.submit(self.made))
            await asyncio.sleep(_EVERY_S)

    def made(self, connection: Connection) -> Note:
        """The newest one; a new one where the log has grown since."""
        head = audit.head(connection)
        newest = _newest(connection)
        if newest is not None and newest.checkpoint.size >= head.size:
            return newest
        checkpoint = Checkpoint(self._origin, head.size, head.root)
        signature = self._key.sign(checkpoint.text().encode())
        note = Note(checkpoint, key_hash(self._origin, self.public), signature)
        connection.execute(
            insert(checkpoints).values(size=head.size, time=self._clock(), note=note.text())
        )
        return note

    async def news(self, size: int) -> tuple[str, tuple[str, ...]]:
        """For somebody who remembers a checkpoint of ``size``: a newer one, and the proof that the
        log only grew since, base64; ("", ()) where there is nothing new."""
        newest = self._newest
        if newest is not None and newest.checkpoint.size < size:
            # Another replica has made one since; or the log was cut.
            self._newest = newest = await asyncio.to_thread(self._read)
        if newest is None or newest.checkpoint.size == size:
            return "", ()
        try:
            proof = await self._proof(size, newest.checkpoint.size)
        except ServerError:
            proof = ()  # which is none, and will be taken for what it is
        return newest.text(), proof

    async def _proof(self, first: int, second: int) -> tuple[str, ...]:
        """Looked up once, however many ask: agents come by the thousand and remember the same, and
        a thread for each would take its turn with all others."""
        sizes = (first, second)
        found = self._proofs.get(sizes)
        if found is None:
            found = asyncio.ensure_future(asyncio.to_thread(self._looked_up, first, second))
            self._proofs[sizes] = found
            if len(self._proofs) > _KNOWN_PROOFS:
                del self._proofs[next(iter(self._proofs))]
        try:
            return await asyncio.shield(found)  # who asked first may have hung up
        except SQLAlchemyError:
            self._proofs.pop(sizes, None)
            raise

    def _read(self) -> Note | None:
        with self._database.reading() as connection:
            return _newest(connection)

    def _looked_up(self, first: int, second: int) -> tuple[str, ...]:
        if first > second:
            return ()
        with self._database.reading() as connection:
            proof = audit.consistency(connection, first, second)
        return tuple(base64.b64encode(step).decode() for step in proof)


def kept(connection: Connection) -> list[Note]:
    """All that were made, the shortest log's first."""
    rows = connection.execute(select(checkpoints.c.note).order_by(checkpoints.c.size))
    return [parsed(row.note) for row in rows]


def _newest(connection: Connection) -> Note | None:
    note = connection.execute(
        select(checkpoints.c.note).order_by(checkpoints.c.size.desc()).limit(1)
    ).scalar()
    return parsed(note) if note is not None else None
