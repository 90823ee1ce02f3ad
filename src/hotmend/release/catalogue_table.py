"""A catalogue of one's own, as a table: what the shipped one and a draft do not know of, such as
.NET updates, drivers and firmware."""

from __future__ import annotations

import csv
from datetime import date
from io import StringIO

from hotmend.release.catalogue import Content, Patch, RebootBehavior
from hotmend.release.classification import Classification
from hotmend.release.errors import CatalogueError
from hotmend.release.release import Kind

COLUMNS = (
    *("article", "title", "kind", "classification", "reboot", "content", "severity"),
    *("advisories", "supersedes", "needs", "released"),
)


def parse(text: str, name: str) -> list[Patch]:
    """Lists inside a cell are separated by blanks. Raises CatalogueError, which names the line."""
    reader = csv.DictReader(StringIO(text))
    missing = set(COLUMNS) - set(reader.fieldnames or ())
    if missing:
        raise CatalogueError(f"{name} lacks the columns {', '.join(sorted(missing))}")
    patches = []
    for row in reader:
        try:
            patches.append(_patch(row))
        except (ValueError, CatalogueError, AttributeError) as error:
            raise CatalogueError(f"{name}, line {reader.line_num}: {error}") from None
    return patches


def _patch(row: dict[str, str]) -> Patch:
    if not row["article"]:
        raise ValueError("there is no article")
    return Patch(
        article=row["article"],
        title=row["title"],
        kind=Kind(row["kind"]),
        classification=Classification(row["classification"]),
        reboot=RebootBehavior(row["reboot"]),
        content=Content(row["content"]),
        severity=row["severity"],
        advisories=tuple(row["advisories"].split()),
        supersedes=tuple(row["supersedes"].split()),
        needs=tuple(row["needs"].split()),
        released=date.fromisoformat(row["released"]) if row["released"] else None,
    )
