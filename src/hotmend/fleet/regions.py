"""Regions and their geo-pairs: two of a pair are never patched at the same time.

Azure's public regions, from memory of its documentation; a fleet of one's own may use any other
name, which is then a region without a pair.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
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


def pairs() -> dict[str, str]:
    """Region to paired region, for those that have one."""
    return {name: region.pair for name, region in known().items() if region.pair}


def pair_keys(pairs: Mapping[str, str]) -> dict[str, str]:
    """For each region with a pair, the least name among all that are paired with it, directly or
    through others: regions with one key are never patched at the same time.

    Azure's pairs are not all mutual (Brazil South is paired with South Central US, and that with
    North Central US), so a key may stand for three regions.
    """
    keys: dict[str, str] = {}
    for one, other in sorted(pairs.items()):
        both = {keys.get(one, one), keys.get(other, other)}
        least = min(both)
        keys.update({one: least, other: least})
        keys.update({region: least for region, key in keys.items() if key in both})
    return keys
