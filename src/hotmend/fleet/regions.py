"""Regions and their geo-pairs: two of a pair are never patched at the same time.

Azure's public regions, from memory of its documentation; a fleet of one's own may use any other
name, which is then a region without a pair.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True)
class Region:
    """``pair``: the name of the other one, "" without. ``zone``: the IANA name of its time zone."""

    name: str
    display: str
    geography: str
    pair: str
    zone: str


@cache
def known() -> dict[str, Region]:
    """By name."""
    text = resources.files(__package__).joinpath("regions.csv").read_text()
    return {row["name"]: Region(**row) for row in csv.DictReader(text.splitlines())}


def normalised(location: str) -> str:
    """ "West Europe" and "westeurope" are the same."""
    return location.replace(" ", "").lower()
