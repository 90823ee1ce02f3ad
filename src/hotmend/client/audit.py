"""The audit log, read from the server and checked here."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hotmend.client.api import Api
from hotmend.client.errors import ClientError
from hotmend.model.audit_log import Checked, Checkpoint, Entry, Note, parsed


@dataclass(frozen=True)
class Signed:
    """A checkpoint as the server signed it, and its key."""

    note: Note
    text: str
    key: bytes


class AuditLog:
    """Of one login. Everything raises ClientError."""

    def __init__(self, api: Api) -> None:
        self._api = api
        place = f"/subscriptions/{api.login.subscription}/providers/Hotmend.Fleet"
        self._entries = f"{place}/auditEntries"
        self._checkpoint = f"{place}/auditCheckpoint"

    def entries(self, after: int = 0) -> Iterator[Entry]:
        """In their order, from the one after number ``after`` on."""
        while found := self._page(after):
            yield from found
            after = found[-1].number

    def checkpoint(self) -> Signed:
        """The newest, its signature checked."""
        answer = self._api.get(self._checkpoint)
        try:
            key = base64.b64decode(answer["key"], validate=True)
            signed = Signed(parsed(answer["checkpoint"]), answer["checkpoint"], key)
        except (ValueError, KeyError, TypeError, binascii.Error) as error:
            raise ClientError(f"the server's checkpoint is not understood: {error}") from None
        if not is_signed(signed.note, key):
            raise ClientError("the server's checkpoint is not signed with its key")
        return signed

    def _page(self, after: int) -> list[Entry]:
        rows = self._api.get(f"{self._entries}?after={after}")["value"]
        try:
            return [_entry(row) for row in rows]
        except TypeError as error:
            raise ClientError(f"the server's audit log is not understood: {error}") from None


def problem(entries: Iterator[Entry], checkpoints: list[Checkpoint]) -> tuple[int, str]:
    """(how many entries are as they were written, what is wrong), of a log that should agree with
    all ``checkpoints``; "" when all is well. Pure."""
    log = Checked()
    waiting = sorted(checkpoints, key=lambda one: one.size)

    def disagrees() -> str:
        while waiting and waiting[0].size == log.size:
            if waiting.pop(0).root != log.root:
                return f"the first {log.size} entries are not those of the checkpoint"
        return ""

    wrong = disagrees()
    for entry in entries:
        if wrong:
            break
        if not log.take(entry):
            return log.size, f"entry {log.size + 1} is missing or not as it was written"
        wrong = disagrees()
    if not wrong and waiting:
        wrong = f"the log has {log.size} entries, and had {waiting[0].size}"
    return log.size, wrong


def is_signed(note: Note, key: bytes) -> bool:
    """With the Ed25519 key ``key``."""
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(
            note.signature, note.checkpoint.text().encode()
        )
    except (ValueError, InvalidSignature):
        return False
    return True


def _entry(row: dict[str, Any]) -> Entry:
    entry = Entry(**row)
    if not isinstance(entry.digest, str) or not isinstance(entry.number, int):
        raise TypeError("an entry has a number and a digest")
    return entry
