"""What the source package says about one advisory: the functions that its patches touch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class SourceFunction:
    """A C function of the source. ``static``: it has no name in a stripped binary, and another
    function of that name elsewhere is another function."""

    name: str
    file: str
    static: bool


@dataclass(frozen=True, order=True)
class OutsideHunk:
    """A change to compiled code outside functions, or to data inside one. ``what``: a few words,
    such as "macro" or "static data in xmlFoo"."""

    file: str
    line: int
    what: str


@dataclass(frozen=True)
class SourceFix:
    """All that the patches of one advisory touch, and the patches that those build upon.

    ``patches``: names in the series. ``builds_on``: further new patches that define what these
    use; what they touch is counted in. ``functions``: touched. ``hosts``: other functions of the
    same files that mention a touched one, directly or through each other: a compiler may have put
    a copy into them. ``doubts``: sentences on why the patches do not tell everything.
    """

    id: str
    patches: tuple[str, ...]
    builds_on: tuple[str, ...]
    functions: tuple[SourceFunction, ...]
    hosts: tuple[SourceFunction, ...]
    outside: tuple[OutsideHunk, ...]
    doubts: tuple[str, ...] = ()
