"""What will be done to one process: decided before anything is touched, printable, with inverse.

Pure: facts go in, a plan or a refusal comes out. A dry run prints exactly the steps that the real
run takes.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from hotmend.hotpatch.hotpatch import (
    DETOUR_SIZE,
    INT3,
    Fixup,
    Hotpatch,
    Import,
    OldAddress,
    PatchedImage,
)
from hotmend.model.refusal import Refusal, RefusalCode
from hotmend.surgery.imports import Imports
from hotmend.surgery.module import Module, Read
from hotmend.surgery.process import PAGE, WORD, Mapping, Range, Write
from hotmend.surgery.record import room_for
from hotmend.surgery.short_detour import short_detour

_JMP = b"\xe9"
_NEAR = (1 << 30) - (1 << 20)
_FAR = (1 << 31) - (1 << 20)
_LOWEST = 1 << 16
_REGISTER = Import("__register_frame_info", "GCC_3.0", "libgcc_s.so.1")
_HIGHEST = (1 << 47) - PAGE
_CLEARANCE = 1 << 20


@dataclass(frozen=True)
class MapPayload:
    """Map ``size`` bytes at ``address``, unless ``reused``: an earlier apply left them there.
    The first ``lead`` of them are for the record, the payload follows."""

    address: int
    size: int
    lead: int
    reused: bool

    @property
    def base(self) -> int:
        """Where the payload begins."""
        return self.address + self.lead

    def __str__(self) -> str:
        how = "reuse the dormant mapping" if self.reused else "map read-execute memory"
        return f"{how} of {self.size:,} bytes at {self.address:#x}"


@dataclass(frozen=True)
class FillPayload:
    """Put ``pages``, (address, bytes), into the payload's mapping."""

    pages: tuple[tuple[int, bytes], ...]

    def __str__(self) -> str:
        size = sum(len(data) for _, data in self.pages)
        return f"fill {size:,} bytes of it, fixups resolved"


@dataclass(frozen=True)
class RegisterFrames:
    """Tell the process's unwinder of the payload's .eh_frame at ``begin``, so that exceptions
    pass through replaced functions: ``function`` is its __register_frame_info, ``scratch`` a page
    for its notes."""

    function: int
    begin: int
    scratch: int

    def __str__(self) -> str:
        return f"register unwind tables at {self.begin:#x} with the C library's unwinder"


@dataclass(frozen=True)
class WriteDetour:
    """Send ``function``'s callers to ``target``; the inverse writes ``before`` back."""

    function: str
    target: int
    write: Write

    def __str__(self) -> str:
        write = self.write
        return (
            f"detour {self.function} at {write.address:#x} to {self.target:#x} "
            f"({write.before.hex()} → {write.after.hex()})"
        )


@dataclass(frozen=True)
class ImagePlan:
    """The steps for one image. ``old_ranges``: what must be clear of threads to apply;
    ``new_ranges``: to revert. ``ways``: of short detours, (address, bytes)."""

    image: PatchedImage
    module: Module
    payload: MapPayload
    fill: FillPayload
    ways: tuple[tuple[int, bytes], ...]
    frames: RegisterFrames | None
    detours: tuple[WriteDetour, ...]
    old_ranges: tuple[Range, ...]
    new_ranges: tuple[Range, ...]

    @property
    def steps(self) -> tuple[MapPayload | FillPayload | RegisterFrames | WriteDetour, ...]:
        frames = (self.frames,) if self.frames is not None else ()
        return (self.payload, self.fill, *frames, *self.detours)


@dataclass(frozen=True)
class Plan:
    """What will be done, image by image."""

    images: tuple[ImagePlan, ...]


def plan(
    hotpatch: Hotpatch,
    modules: Sequence[Module],
    maps: Sequence[Mapping],
    read: Read,
    dormant: Iterable[tuple[str, int]] = (),
    *,
    stop: bool = True,
) -> Plan | Refusal | None:
    """The plan for one process; None when it maps none of the hotpatch's old builds.

    ``dormant``: (old build-id, payload address) of mappings that the ledger knows of. Without
    ``stop`` all detours are short ones.
    """
    known = dict(dormant)
    imports = Imports(modules, read)
    taken = [(m.start, m.end) for m in maps]
    plans = []
    for image in hotpatch.images:
        found = [m for m in modules if m.build_id == image.old_build_id]
        if not found:
            continue
        if len(found) > 1:
            return Refusal(
                RefusalCode.MODULE_MAPPED_TWICE,
                f"{image.name} is mapped {len(found)} times; which one a call reaches is unclear",
                image.name,
                tuple(("mapped at", f"{m.start:#x}") for m in found),
            )
        reuse = known.get(image.old_build_id.hex)
        made = _plan_image(image, found[0], taken, read, imports, reuse, stop=stop)
        if isinstance(made, Refusal):
            return made
        taken.append((made.payload.address, made.payload.address + made.payload.size))
        plans.append(made)
    if not plans:
        return None
    return Plan(tuple(plans))


def _plan_image(
    image: PatchedImage,
    module: Module,
    taken: list[tuple[int, int]],
    read: Read,
    imports: Imports,
    reuse: int | None,
    *,
    stop: bool,
) -> ImagePlan | Refusal:
    differing = _differing_function(image, module, read)
    if differing is not None:
        return differing
    lead = room_for(image)
    reused = reuse is not None and _reach(image, module, reuse - lead) <= _FAR
    address = reuse - lead if reuse is not None and reused else _room(image, module, taken)
    if address is None:
        return Refusal(
            RefusalCode.NO_ROOM_NEARBY,
            f"there is no room for {image.span:,} bytes within 2 GiB of {image.name}",
            image.name,
            (("module", f"{module.start:#x}-{module.end:#x}"),),
        )
    payload = MapPayload(address, lead + image.span, lead, reused)
    content = _content(image, module, payload.base, imports)
    if isinstance(content, Refusal):
        return content
    detours = []
    ways: list[tuple[int, bytes]] = []
    for function in image.functions:
        if function.entry is not None:
            target = payload.base + function.new_entry
            entry = module.bias + function.entry
            write = _detour(entry, target, read) if stop else None
            if not stop and function.short is not None:
                short = short_detour(function.short, entry, target, read)
                if short is not None:
                    write = short.write
                    ways.append(short.way)
            if write is None:
                return _no_detour(function.name, stop=stop)
            detours.append(WriteDetour(function.name, target, write))
    crowded = _overlapping(detours)
    if crowded is not None:
        return Refusal(
            RefusalCode.ENTRY_TOO_SHORT,
            f"the entries of {crowded} lie in one word; one write would undo the other",
            crowded,
        )
    return ImagePlan(
        image=image,
        module=module,
        payload=payload,
        fill=FillPayload(content),
        ways=tuple(ways),
        frames=_frames(image, payload, imports),
        detours=tuple(detours),
        old_ranges=tuple(
            Range(module.bias + va, module.bias + va + size, function.name)
            for function in image.functions
            for va, size in function.ranges
        ),
        new_ranges=new_ranges(image, payload.base),
    )


def new_ranges(image: PatchedImage, address: int) -> tuple[Range, ...]:
    """The whole payload, by function where one is known: what must be clear to revert."""
    named = sorted(
        (offset, offset + size, function.name)
        for function in image.functions
        for offset, size in function.payload_ranges
    )
    ranges = []
    at = 0
    for start, end, name in [*named, (image.span, image.span, "")]:
        if at < start:
            ranges.append(Range(address + at, address + start, f"{image.name}'s hotpatch"))
        if max(at, start) < end:
            ranges.append(Range(address + max(at, start), address + end, name))
        at = max(at, end)
    return tuple(ranges)


def _differing_function(image: PatchedImage, module: Module, read: Read) -> Refusal | None:
    """The first function whose bytes are not those of the old build."""
    for function in image.functions:
        data = b"".join(read(module.bias + va, size) for va, size in function.ranges)
        if hashlib.sha256(data).hexdigest() != function.sha256:
            return Refusal(
                RefusalCode.BYTES_DIFFER,
                f"{function.name} of {image.name} is not as the old build has it; "
                "something else has changed it",
                function.name,
                (
                    ("address", f"{module.bias + function.ranges[0][0]:#x}"),
                    ("bytes there", data[:16].hex()),
                ),
            )
    return None


def _room(image: PatchedImage, module: Module, taken: list[tuple[int, int]]) -> int | None:
    """A free page-aligned address from which everything is within reach, the nearest first."""
    size = _size(image)
    candidates = []
    edges = sorted(taken)
    gaps = zip([(0, _LOWEST), *edges], [*edges, (_HIGHEST, _HIGHEST)], strict=True)
    for (_, start), (end, _) in gaps:
        first, last = start + _CLEARANCE, end - _CLEARANCE - size
        if first > last or first < _LOWEST:
            continue
        for address in (_align(first), last // PAGE * PAGE):
            if first <= address <= last:
                reach = _reach(image, module, address)
                candidates.append((reach > _NEAR, abs(address - module.start), reach, address))
    usable = [c for c in candidates if c[2] <= _FAR]
    return min(usable)[3] if usable else None


def _size(image: PatchedImage) -> int:
    """Of all that is mapped for it."""
    return room_for(image) + image.span + (PAGE if image.frames[1] else 0)


def _reach(image: PatchedImage, module: Module, address: int) -> int:
    """The longest jump between the module and what is mapped at ``address``."""
    low_end, high_end = module.bias + image.near[0], module.bias + image.near[1]
    return max(abs(high_end - address), abs(address + _size(image) - low_end))


def _align(address: int) -> int:
    return -(-address // PAGE) * PAGE


def _content(
    image: PatchedImage, module: Module, address: int, imports: Imports
) -> tuple[tuple[int, bytes], ...] | Refusal:
    """(address, bytes) of each run of populated pages, fixups applied."""
    pages: dict[int, bytearray] = {}
    for offset, data in image.chunks:
        at = 0
        while at < len(data):
            page, inside = divmod(offset + at, PAGE)
            room = min(PAGE - inside, len(data) - at)
            filled = pages.setdefault(page, bytearray([INT3]) * PAGE)
            filled[inside : inside + room] = data[at : at + room]
            at += room
    resolved: dict[Import, int] = {}
    for fixup in image.fixups:
        target = _target(fixup, module, imports, resolved)
        if isinstance(target, Refusal):
            return target
        _apply(fixup, target, address, pages)
    runs: list[tuple[int, bytearray]] = []
    for page in sorted(pages):
        if runs and runs[-1][0] + len(runs[-1][1]) == page * PAGE:
            runs[-1][1].extend(pages[page])
        else:
            runs.append((page * PAGE, bytearray(pages[page])))
    return tuple((address + offset, bytes(data)) for offset, data in runs)


def _target(
    fixup: Fixup, module: Module, imports: Imports, resolved: dict[Import, int]
) -> int | Refusal:
    if isinstance(fixup.target, OldAddress):
        return module.bias + fixup.target.va + fixup.addend
    if fixup.target not in resolved:
        found = imports.resolve(fixup.target)
        if isinstance(found, Refusal):
            return found
        resolved[fixup.target] = found
    return resolved[fixup.target] + fixup.addend


def _apply(fixup: Fixup, target: int, address: int, pages: dict[int, bytearray]) -> None:
    if fixup.kind == "pcrel32":
        value = struct.pack("<i", target - (address + fixup.offset))
    else:
        value = struct.pack("<Q", target)
    for at, byte in enumerate(value, fixup.offset):
        pages[at // PAGE][at % PAGE] = byte


def _frames(image: PatchedImage, payload: MapPayload, imports: Imports) -> RegisterFrames | None:
    """None where the payload has no frames, or the process no unwinder to tell."""
    if not image.frames[1] or not imports.maps(_REGISTER.library):
        return None
    function = imports.resolve(_REGISTER)
    if isinstance(function, Refusal):
        return None
    scratch = payload.address + payload.size
    return RegisterFrames(function, payload.base + image.frames[0], scratch)


def _no_detour(name: str, *, stop: bool) -> Refusal:
    if stop:
        sentence = f"the entry of {name} crosses a page; one write cannot replace it"
        return Refusal(RefusalCode.ENTRY_TOO_SHORT, sentence, name)
    sentence = f"the entry of {name} cannot be switched while threads run; use --consistency strict"
    return Refusal(RefusalCode.NEEDS_STOP, sentence, name)


def _overlapping(detours: list[WriteDetour]) -> str | None:
    """Two functions whose writes share bytes, by name."""
    ordered = sorted(detours, key=lambda detour: detour.write.address)
    for first, second in pairwise(ordered):
        if first.write.address + len(first.write.after) > second.write.address:
            return f"{first.function} and {second.function}"
    return None


def _detour(entry: int, target: int, read: Read) -> Write | None:
    """One write of at most 8 bytes: the aligned word where the jump fits in it."""
    jump = _JMP + struct.pack("<i", target - (entry + DETOUR_SIZE))
    start = entry // WORD * WORD
    if entry - start > WORD - DETOUR_SIZE:
        start = entry
    size = WORD if start != entry or entry % WORD == 0 else DETOUR_SIZE
    if start // PAGE != (start + size - 1) // PAGE:
        return None
    before = read(start, size)
    inside = entry - start
    after = before[:inside] + jump + before[inside + DETOUR_SIZE :]
    return Write(start, before, after)
