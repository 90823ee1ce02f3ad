"""What a hotpatch says: the data of a .hotpatch file, once parsed and checked.

Addresses are those of the images' own files (link-time virtual addresses, "va"): ``old_va`` lies
in the old build, payload offsets count from the start of the payload's mapping. Adding a load
bias is the surgeon's business.

The payload keeps the fixed build's relative layout. It is one mapping of ``span`` bytes of which
only ``chunks`` are populated; the rest of a populated page is int3, other pages stay untouched.
"""

from __future__ import annotations

from dataclasses import dataclass

from hotmend.model.advisory import AdvisoryVerdict
from hotmend.model.build_id import BuildId
from hotmend.model.refusal import Refusal

PAGE = 4096
INT3 = 0xCC
DETOUR_SIZE = 5
"""A detour is ``jmp rel32``."""


@dataclass(frozen=True)
class OldAddress:
    """An address in the old build as mapped: module load bias + ``va``."""

    va: int


@dataclass(frozen=True)
class Import:
    """A symbol that only the fixed build imports. ``version`` is "" for an unversioned one;
    ``library`` is the soname the fixed build's version table names, or "" where it names none."""

    symbol: str
    version: str = ""
    library: str = ""


@dataclass(frozen=True)
class Fixup:
    """A place in the payload that depends on where things are mapped.

    ``pcrel32``: four bytes at ``offset`` become ``target + addend - (payload + offset)``, signed;
    ``target`` is an :class:`OldAddress`. ``abs64``: eight bytes become ``target + addend``;
    ``target`` is an :class:`OldAddress` or an :class:`Import`.
    References inside the payload are right already and have no fixup.
    """

    offset: int
    kind: str  # "pcrel32" | "abs64"
    target: OldAddress | Import
    addend: int = 0


@dataclass(frozen=True)
class ShortEntry:
    """What lets an entry be switched while threads run: behind ``pushes`` one-byte pushes stands
    an instruction of at least two bytes, which a short jump replaces; the ``filler`` bytes in front
    of the entry are padding that nothing reaches, where the rest of the way fits."""

    pushes: int
    filler: int


@dataclass(frozen=True)
class Function:
    """A replaced function.

    ``ranges``: (old_va, size) of every part in the old build (hot part first, cold parts after):
    the ranges that a stack check keeps clear. ``sha256``: of the old bytes of those ranges, in
    order. ``payload_ranges``: (offset, size) of the new parts. ``entry``: old_va where a detour
    is written, None when it is only reached from inside the replaced set. ``new_entry``: payload
    offset the detour jumps to. ``short``: None where the entry is switched in a stop only.
    """

    name: str
    ranges: tuple[tuple[int, int], ...]
    sha256: str
    payload_ranges: tuple[tuple[int, int], ...]
    entry: int | None
    new_entry: int
    short: ShortEntry | None = None


@dataclass(frozen=True)
class PatchedImage:
    """One image (ELF file) that the hotpatch changes in memory.

    ``name``: its soname, or file name for a program. ``chunks``: (offset, bytes), ascending, not
    overlapping. ``span``: size of the payload's mapping, a multiple of the page size.
    ``near``: (lowest, highest) old va that the payload and its fixups must reach with a signed
    32-bit displacement. ``frames``: (offset, size) of the payload's .eh_frame, size 0 for none.
    ``independent``: entry consistency is enough; ``dependence`` says why not.
    """

    name: str
    old_build_id: BuildId
    new_build_id: BuildId
    span: int
    chunks: tuple[tuple[int, bytes], ...]
    fixups: tuple[Fixup, ...]
    functions: tuple[Function, ...]
    near: tuple[int, int]
    frames: tuple[int, int] = (0, 0)
    independent: bool = False
    dependence: str = ""


@dataclass(frozen=True)
class Made:
    """How a hotpatch came to be. ``inputs``: (role, file name, sha256). No clock, no host name,
    no path: the same inputs give the same bytes."""

    tool: str
    inputs: tuple[tuple[str, str, str], ...]
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Hotpatch:
    """``package``: Debian source-built package name, or the file's name where there was none.
    ``left``: what of the change set is not carried, and why. ``attestations``: in-toto statements
    (JSON) about the hotpatch as it is without them."""

    package: str
    architecture: str
    old_version: str
    new_version: str
    images: tuple[PatchedImage, ...]
    advisories: tuple[AdvisoryVerdict, ...]
    left: tuple[Refusal, ...]
    made: Made
    attestations: tuple[str, ...] = ()
