"""The support matrix: which images are patched automatically, and which of them hotpatched.

A file with one row per platform, publisher, offer and sku, which a user can read and extend; a
row of the user's cannot change what a shipped row says. Source: Microsoft's hotpatch.md
(2025-07-14) and automatic-vm-guest-patching.md; the Debian rows are Hotmend's own.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path

_FIELDS = ("platform", "publisher", "offer", "sku", "os", "hotpatch", "state")


class SupportError(ValueError):
    """The user's file is not a support matrix, or would change a shipped row."""


@dataclass(frozen=True)
class Image:
    """What a machine was made from."""

    publisher: str
    offer: str
    sku: str


@dataclass(frozen=True)
class Row:
    """``platform``, ``publisher``, ``offer``: "*" for any. ``os``: "Windows" or "Linux"."""

    platform: str
    image: Image
    os: str
    hotpatch: bool
    state: str

    def matches(self, platform: str, image: Image) -> bool:
        """Without case, as Azure compares them."""
        pairs = (
            (self.platform, platform),
            (self.image.publisher, image.publisher),
            (self.image.offer, image.offer),
            (self.image.sku, image.sku),
        )
        return all(own in ("*", other) or own.lower() == other.lower() for own, other in pairs)


@cache
def shipped() -> tuple[Row, ...]:
    """The rows that come with Hotmend."""
    return _rows(resources.files(__package__).joinpath("support-matrix.csv").read_text())


def extended(path: Path) -> tuple[Row, ...]:
    """The shipped rows, then those of the user's file. Raises SupportError, OSError."""
    own = shipped()
    added = _rows(path.read_text())
    for row in added:
        if find(own, row.platform, row.image) is not None:
            raise SupportError(
                f"{path}: {row.platform} {row.image.publisher}:{row.image.offer}:{row.image.sku} "
                "is a shipped row; leave it out"
            )
    return own + added


@lru_cache(maxsize=1024)
def find(rows: tuple[Row, ...], platform: str, image: Image) -> Row | None:
    """The row for an image; None for one that is not supported at all."""
    return next((row for row in rows if row.matches(platform, image)), None)


def hotpatchable(rows: tuple[Row, ...], platform: str) -> list[str]:
    """What would be accepted: publisher:offer:sku."""
    return [
        f"{row.image.publisher}:{row.image.offer}:{row.image.sku}"
        for row in rows
        if row.hotpatch and row.platform in ("*", platform)
    ]


def _rows(text: str) -> tuple[Row, ...]:
    reader = csv.DictReader(text.splitlines())
    if tuple(reader.fieldnames or ()) != _FIELDS:
        raise SupportError(f"the first line must be {','.join(_FIELDS)}")
    rows = []
    for line in reader:
        if None in line or None in line.values():
            raise SupportError(f"line {reader.line_num} has not {len(_FIELDS)} fields")
        if line["hotpatch"] not in ("yes", "no") or line["os"] not in ("Windows", "Linux"):
            raise SupportError(
                f"line {reader.line_num}: hotpatch is yes or no, os Windows or Linux"
            )
        image = Image(line["publisher"], line["offer"], line["sku"])
        hotpatch = line["hotpatch"] == "yes"
        rows.append(Row(line["platform"], image, line["os"], hotpatch, line["state"]))
    return tuple(rows)
