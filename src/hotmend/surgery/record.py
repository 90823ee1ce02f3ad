"""What a payload says of itself: the ledger's entry, in front of the code, in the process's memory.

So a child that inherited a hotpatch, a container whose ledger is elsewhere, and a ledger that was
lost can all be answered from the process alone. A record is hostile input like everything else
there: it is believed only as far as the memory that it speaks of bears it out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice

from hotmend.hotpatch.hotpatch import PatchedImage
from hotmend.surgery.errors import ProcessError
from hotmend.surgery.ledger import LedgerEntry, LedgerImage, State, image_from_json, image_to_json
from hotmend.surgery.process import PAGE, Mapping, Process

_MAGIC = b"HOTMEND1"
_HEAD = len(_MAGIC) + 32 + 4
_MOST = 1 << 20
_MOST_RECORDS = 256
_MOST_OF_A_WORD = 512
_WORDS = 2048
_OF_A_WRITE = 64
_OF_A_RUN = 128


def room_for(image: PatchedImage) -> int:
    """Bytes to keep in front of the payload, whole pages: enough for any record of the image."""
    ways = sum(function.short is not None for function in image.functions)
    size = _WORDS + len(image.functions) * _OF_A_WRITE + (len(image.chunks) + 1 + ways) * _OF_A_RUN
    return -(-size // PAGE) * PAGE


def encode(entry: LedgerEntry, image: LedgerImage) -> bytes:
    """The record of one image of an entry."""
    content = {
        "package": entry.package,
        "version": entry.version,
        "sha256": entry.sha256,
        "image": image_to_json(image),
    }
    data = json.dumps(content, separators=(",", ":")).encode()
    return _MAGIC + hashlib.sha256(data).digest() + len(data).to_bytes(4, "little") + data


def found(process: Process) -> list[LedgerEntry]:
    """The entries that the process itself tells of, as if they were in the ledger. ``state`` is
    "intent": whether the detours are in place is read from memory, too."""
    entries: dict[str, LedgerEntry] = {}
    code = (m for m in process.maps() if m.executable and not m.inode and m.path[:2] != "[v")
    for told in islice(chain.from_iterable(_told(process, m) for m in code), _MOST_RECORDS):
        before = entries[told.sha256].images if told.sha256 in entries else ()
        entries[told.sha256] = replace(told, images=(*before, *told.images))
    return list(entries.values())


def _told(process: Process, mapping: Mapping) -> Iterator[LedgerEntry]:
    """Two payloads never touch, so a record is at a mapping's start."""
    try:
        head = process.read(mapping.start, _HEAD)
        size = int.from_bytes(head[-4:], "little")
        if not head.startswith(_MAGIC) or size > min(_MOST, mapping.end - mapping.start - _HEAD):
            return
        data = process.read(mapping.start + _HEAD, size)
        if hashlib.sha256(data).digest() != head[len(_MAGIC) : -4]:
            return
        record = json.loads(data)
        yield LedgerEntry(
            process.identity,
            process.command,
            _word(record["package"]),
            _word(record["version"]),
            _word(record["sha256"]),
            State.INTENT,
            (image_from_json(record["image"]),),
        )
    except (ProcessError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return


def _word(value: object) -> str:
    """What may be shown to people: no terminal is told anything by it."""
    if not isinstance(value, str) or not value.isprintable() or len(value) > _MOST_OF_A_WORD:
        raise ValueError("not a word")
    return value
