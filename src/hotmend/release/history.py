"""The history of releases, as data: a table that is shipped, and may be extended by its reader."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from datetime import date
from importlib.resources import files
from io import StringIO

from hotmend.release.errors import CatalogueError
from hotmend.release.release import Kind, Month, Planning, Release

COLUMNS = (
    *("product", "month", "kind", "planning", "released", "article", "build"),
    *("ordinary_article", "ordinary_build", "on_track", "note", "source"),
)


def shipped() -> list[Release]:
    """Windows Server's history since January 2024, with the slots that were announced."""
    text = files("hotmend.release").joinpath("windows_server.csv").read_text(encoding="utf-8")
    return parse(text, "windows_server.csv")


def parse(text: str, name: str) -> list[Release]:
    """A table of releases. Raises CatalogueError, which names the line."""
    reader = csv.DictReader(StringIO(text))
    missing = set(COLUMNS) - set(reader.fieldnames or ())
    if missing:
        raise CatalogueError(f"{name} lacks the columns {', '.join(sorted(missing))}")
    releases = []
    for row in reader:
        try:
            releases.append(_release(row))
        except ValueError as error:
            raise CatalogueError(f"{name}, line {reader.line_num}: {error}") from None
    return releases


def products(releases: Iterable[Release]) -> list[str]:
    """The products that releases speak of, in order of appearance."""
    return list(dict.fromkeys(release.product for release in releases))


def of_product(releases: Iterable[Release], name: str) -> list[Release]:
    """Those of one product; part of its name is enough when that is clear. Raises
    CatalogueError."""
    known = list(releases)
    names = products(known)
    found = [p for p in names if p == name] or [p for p in names if name.lower() in p.lower()]
    if len(found) != 1:
        raise CatalogueError(f"{name!r} is not one product; there are: {'; '.join(names)}")
    return [release for release in known if release.product == found[0]]


def _release(row: dict[str, str]) -> Release:
    return Release(
        product=_given(row, "product"),
        month=Month.parse(_given(row, "month")),
        kind=Kind(row["kind"]),
        planning=Planning(row["planning"]),
        released=date.fromisoformat(row["released"]) if row["released"] else None,
        article=row["article"],
        build=row["build"],
        ordinary=(row["ordinary_article"], row["ordinary_build"]),
        on_track=row["on_track"] != "no",
        note=row["note"],
        source=_given(row, "source"),
    )


def _given(row: dict[str, str], column: str) -> str:
    if not row[column]:
        raise ValueError(f"there is no {column}")
    return row[column]
