"""The audit log as anybody can check it: entries that are chained, and a Merkle tree over them.

A checkpoint says how long the log was and what the root of its tree was, in the form of C2SP's
tlog-checkpoint, signed as a note. Who keeps one can tell whether what it covers is still there.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from hotmend.model import merkle

BEGINNING = "0" * 64
_DASH = "\u2014"
_ED25519 = b"\1"


@dataclass(frozen=True)
class Entry:
    """``number``: from 1; ``digest``: SHA-256 over the entry and the digest before, hexadecimal."""

    number: int
    time: float
    who: str
    what: str
    subject: str
    details: dict[str, Any]
    digest: str


@dataclass(frozen=True)
class Checkpoint:
    """``origin``: whose log; ``size``: in entries; ``root``: of the tree."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


@dataclass(frozen=True)
class Note:
    """A checkpoint and who says so: the signer's key begins with ``key_hash``."""

    checkpoint: Checkpoint
    key_hash: bytes
    signature: bytes

    def text(self) -> str:
        """As it is kept and sent."""
        signed = base64.b64encode(self.key_hash + self.signature).decode()
        return f"{self.checkpoint.text()}\n{_DASH} {self.checkpoint.origin} {signed}\n"


@dataclass
class Checked:
    """A log that is read entry by entry; ``peaks``, ``digest``: up to ``size``."""

    size: int = 0
    digest: str = BEGINNING
    peaks: tuple[bytes, ...] = field(default=())

    def take(self, entry: Entry) -> bool:
        """Whether ``entry`` is the next one, as it was written."""
        if entry.number != self.size + 1 or entry.digest != digest_of(self.digest, entry):
            return False
        self.peaks, _ = merkle.appended(self.size, self.peaks, leaf_of(entry.digest))
        self.size, self.digest = entry.number, entry.digest
        return True

    @property
    def root(self) -> bytes:
        return merkle.root_of(self.peaks)


def digest_of(before: str, entry: Entry) -> str:
    """Over a canonical form: anybody can compute it again. The entry's own is not looked at."""
    e = entry
    content = json.dumps(
        [before, e.number, e.time, e.who, e.what, e.subject, e.details],
        sort_keys=True,
        separators=(",", ":"),
    )
    return hashlib.sha256(content.encode()).hexdigest()


def leaf_of(digest: str) -> bytes:
    """The entry's leaf in the tree."""
    return merkle.leaf_hash(bytes.fromhex(digest))


def key_hash(origin: str, public: bytes) -> bytes:
    """Of an Ed25519 key, as signed notes name keys (C2SP signed-note)."""
    return hashlib.sha256(origin.encode() + b"\n" + _ED25519 + public).digest()[:4]


def parsed(note: str) -> Note:
    """Raises ValueError for what is no checkpoint's note. The signature is not looked at."""
    text, _, signatures = note.partition("\n\n")
    lines = text.split("\n")
    words = signatures.rstrip("\n").split(" ")
    if len(lines) != 3 or len(words) != 3 or words[0] != _DASH or words[1] != lines[0]:
        raise ValueError("this is no checkpoint of an audit log")
    root, signed = _from_base64(lines[2]), _from_base64(words[2])
    if not lines[1].isdecimal() or len(root) != merkle.HASH_BYTES:
        raise ValueError("this is no checkpoint of an audit log")
    return Note(Checkpoint(lines[0], int(lines[1]), root), signed[:4], signed[4:])


def _from_base64(text: str) -> bytes:
    """Of the one text that stands for these bytes: decoders overlook bits that are left over.
    Raises ValueError."""
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"this is no checkpoint of an audit log: {error}") from None
    if base64.b64encode(data).decode() != text:
        raise ValueError("this is no checkpoint of an audit log: it is not written as it should be")
    return data
