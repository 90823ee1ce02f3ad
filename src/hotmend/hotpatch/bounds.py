"""What a hotpatch may be at most, and what must hold between its parts.

The reader refuses a file over a bound before it allocates for it; the writer keeps to the same
bounds, so whatever was written can be read.
"""

from __future__ import annotations

from itertools import pairwise

from hotmend.hotpatch.errors import HotpatchError
from hotmend.hotpatch.hotpatch import (
    DETOUR_SIZE,
    PAGE,
    Fixup,
    Function,
    Hotpatch,
    Import,
    PatchedImage,
)

MAX_HEADER = 16 << 20
MAX_PAYLOAD = 64 << 20
MAX_SPAN = 256 << 20
MAX_IMAGES = 64
MAX_FUNCTIONS = 1 << 16
MAX_FIXUPS = 1 << 20
MAX_CHUNKS = 1 << 16
MAX_RANGES = 64
MAX_NAME = 512
MAX_SENTENCE = 1 << 14
MAX_ATTESTATIONS = 16
MAX_VA = 1 << 46
MAX_PUSHES = 3
MAX_FILLER = 16

FIXUP_SIZE = {"pcrel32": 4, "abs64": 8}


def check(hotpatch: Hotpatch) -> None:
    """Raise HotpatchError where a bound or an invariant of the format does not hold."""
    _expect(0 < len(hotpatch.images) <= MAX_IMAGES, "a hotpatch holds 1 to 64 images")
    _expect(len(hotpatch.attestations) <= MAX_ATTESTATIONS, "number of attestations")
    for statement in hotpatch.attestations:
        _expect(len(statement) <= MAX_SENTENCE, "an attestation is too long")
    for text in (
        hotpatch.package,
        hotpatch.architecture,
        hotpatch.old_version,
        hotpatch.new_version,
        hotpatch.made.tool,
    ):
        _expect(len(text) <= MAX_NAME, "a name is too long")
    old_ids = [image.old_build_id for image in hotpatch.images]
    _expect(len(set(old_ids)) == len(old_ids), "two images share one old build-id")
    for image in hotpatch.images:
        _check_image(image)


def _check_image(image: PatchedImage) -> None:
    name = image.name
    _expect(0 < len(name) <= MAX_NAME, "an image has no usable name")
    _expect(image.old_build_id != image.new_build_id, f"{name}: old and fixed build are the same")
    _expect(0 < image.span <= MAX_SPAN and image.span % PAGE == 0, f"{name}: span is out of bounds")
    _expect(0 < len(image.functions) <= MAX_FUNCTIONS, f"{name}: number of functions")
    _expect(0 < len(image.chunks) <= MAX_CHUNKS, f"{name}: number of chunks")
    _expect(len(image.fixups) <= MAX_FIXUPS, f"{name}: number of fixups")
    low, high = image.near
    _expect(0 <= low < high <= MAX_VA, f"{name}: bounds of the old image")
    end = 0
    for offset, data in image.chunks:
        _expect(offset >= end and len(data) > 0, f"{name}: chunks overlap or are out of order")
        end = offset + len(data)
    _expect(end <= image.span, f"{name}: a chunk lies outside the span")
    offset, size = image.frames
    _expect(0 <= offset <= end and 0 <= size <= end - offset, f"{name}: its frames lie outside")
    _check_fixups(image)
    _check_functions(image)


def _check_fixups(image: PatchedImage) -> None:
    chunks = iter(image.chunks)
    offset, data = next(chunks)
    end = 0
    for fixup in image.fixups:
        _expect(fixup.kind in FIXUP_SIZE, f"{image.name}: unknown fixup kind")
        _expect(fixup.offset >= end, f"{image.name}: fixups overlap or are out of order")
        end = fixup.offset + FIXUP_SIZE[fixup.kind]
        while fixup.offset >= offset + len(data):
            following = next(chunks, None)
            if following is None:
                raise HotpatchError(f"{image.name}: a fixup lies outside the payload")
            offset, data = following
        _expect(
            offset <= fixup.offset and end <= offset + len(data),
            f"{image.name}: a fixup lies outside the payload",
        )
        _check_target(image, fixup)


def _check_target(image: PatchedImage, fixup: Fixup) -> None:
    _expect(abs(fixup.addend) < 1 << 31, f"{image.name}: a fixup's addend is out of bounds")
    if isinstance(fixup.target, Import):
        _expect(fixup.kind == "abs64", f"{image.name}: an import needs a 64-bit slot")
        for text in (fixup.target.symbol, fixup.target.version, fixup.target.library):
            _expect(len(text) <= MAX_NAME, f"{image.name}: an import's name is too long")
        _expect(bool(fixup.target.symbol), f"{image.name}: an import has no name")
    else:
        low, high = image.near
        _expect(low <= fixup.target.va <= high, f"{image.name}: a fixup leaves the old image")


def _check_functions(image: PatchedImage) -> None:
    entries: set[int] = set()
    occupied: list[tuple[int, int]] = []
    for function in image.functions:
        _check_function(image, function)
        occupied += [(va, va + size) for va, size in function.ranges]
        if function.entry is not None and function.short is not None:
            occupied.append((function.entry - function.short.filler, function.entry))
        if function.entry is not None:
            _expect(
                function.entry not in entries, f"{image.name}: two detours at {function.entry:#x}"
            )
            entries.add(function.entry)
    occupied.sort()
    for (_, end), (start, _) in pairwise(occupied):
        _expect(end <= start, f"{image.name}: two functions overlap at {start:#x}")
    for earlier, later in pairwise(sorted(entries)):
        _expect(later - earlier >= DETOUR_SIZE, f"{image.name}: two detours overlap")


def _check_function(image: PatchedImage, function: Function) -> None:
    where = f"{image.name}: {function.name}"
    low, high = image.near
    _expect(0 < len(function.name) <= MAX_NAME, f"{image.name}: a function has no usable name")
    _expect(len(function.sha256) == 64, f"{where}: sha256 has the wrong length")
    _expect(not set(function.sha256) - set("0123456789abcdef"), f"{where}: sha256 is not hex")
    _expect(0 < len(function.ranges) <= MAX_RANGES, f"{where}: number of ranges")
    _expect(0 < len(function.payload_ranges) <= MAX_RANGES, f"{where}: number of new ranges")
    for va, size in function.ranges:
        _expect(size > 0 and low <= va and va + size <= high, f"{where}: outside the old image")
    for offset, size in function.payload_ranges:
        _expect(offset >= 0 < size <= image.span - offset, f"{where}: outside")
    first, size = function.payload_ranges[0]
    _expect(first <= function.new_entry < first + size, f"{where}: its entry is not in its code")
    if function.entry is not None:
        start, size = function.ranges[0]
        _expect(start <= function.entry < start + size, f"{where}: its detour is not in its code")
    if function.short is not None:
        pushes, filler = function.short.pushes, function.short.filler
        _expect(
            function.entry is not None
            and 0 <= pushes <= MAX_PUSHES
            and pushes + DETOUR_SIZE <= filler <= MAX_FILLER
            and low <= function.entry - filler,
            f"{where}: its short entry",
        )


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise HotpatchError(f"not a valid hotpatch: {what}")
