"""Hotpatch <-> bytes. ``encode`` is deterministic; ``decode`` trusts nothing."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any, NoReturn

from hotmend.hotpatch import format as container
from hotmend.hotpatch.bounds import (
    MAX_ATTESTATIONS,
    MAX_CHUNKS,
    MAX_FIXUPS,
    MAX_FUNCTIONS,
    MAX_IMAGES,
    MAX_RANGES,
    MAX_SENTENCE,
    check,
)
from hotmend.hotpatch.errors import HotpatchError
from hotmend.hotpatch.hotpatch import (
    Fixup,
    Function,
    Hotpatch,
    Import,
    Made,
    OldAddress,
    PatchedImage,
    ShortEntry,
)
from hotmend.model.advisory import AdvisoryState, AdvisoryVerdict, Ground
from hotmend.model.build_id import BuildId
from hotmend.model.refusal import Refusal, RefusalCode

_KINDS = ("pcrel32", "abs64")


def encode(hotpatch: Hotpatch) -> bytes:
    """The bytes of the .hotpatch file. Raises HotpatchError where an invariant does not hold."""
    check(hotpatch)
    header = {
        "package": hotpatch.package,
        "architecture": hotpatch.architecture,
        "old_version": hotpatch.old_version,
        "new_version": hotpatch.new_version,
        "images": [_image_to_json(image) for image in hotpatch.images],
        "advisories": [
            [v.id, v.state.value, v.ground.value, v.because] for v in hotpatch.advisories
        ],
        "left": [
            [r.code.value, r.sentence, r.subject, [list(pair) for pair in r.evidence]]
            for r in hotpatch.left
        ],
        "attestations": list(hotpatch.attestations),
        "made": {
            "tool": hotpatch.made.tool,
            "inputs": [list(entry) for entry in hotpatch.made.inputs],
            "options": [list(entry) for entry in hotpatch.made.options],
        },
    }
    text = json.dumps(header, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    payload = b"".join(data for image in hotpatch.images for _, data in image.chunks)
    return container.pack(text.encode(), payload)


def decode(data: bytes) -> Hotpatch:
    """Parse and check. Raises HotpatchError for anything but a valid hotpatch."""
    header, payload = container.unpack(data)
    try:
        top = _Reader("header", json.loads(header.decode()))
    except (ValueError, RecursionError):
        raise HotpatchError("not a valid hotpatch: its header is not JSON") from None
    images = []
    at = 0
    for entry in top.list("images", MAX_IMAGES):
        image, at = _image_from_json(_Reader("image", entry), payload, at)
        images.append(image)
    if at != len(payload):
        raise HotpatchError("not a valid hotpatch: bytes that belong to no image")
    made = top.object("made")
    hotpatch = Hotpatch(
        package=top.text("package"),
        architecture=top.text("architecture"),
        old_version=top.text("old_version"),
        new_version=top.text("new_version"),
        images=tuple(images),
        advisories=tuple(_advisory(row) for row in top.list("advisories", MAX_FUNCTIONS)),
        left=tuple(_refusal(row) for row in top.list("left", MAX_FUNCTIONS)),
        attestations=tuple(_text(row) for row in top.list("attestations", MAX_ATTESTATIONS)),
        made=Made(
            tool=made.text("tool"),
            inputs=tuple(
                (role, name, sha256)
                for role, name, sha256 in (
                    _texts(row, 3) for row in made.list("inputs", MAX_FUNCTIONS)
                )
            ),
            options=tuple(
                (name, value)
                for name, value in (_texts(row, 2) for row in made.list("options", MAX_FUNCTIONS))
            ),
        ),
    )
    check(hotpatch)
    return hotpatch


def _image_to_json(image: PatchedImage) -> dict[str, Any]:
    imports = sorted(
        {f.target for f in image.fixups if isinstance(f.target, Import)},
        key=lambda i: (i.symbol, i.version, i.library),
    )
    offsets = [0, *(fixup.offset for fixup in image.fixups)]
    return {
        "name": image.name,
        "old_build_id": image.old_build_id.hex,
        "new_build_id": image.new_build_id.hex,
        "span": image.span,
        "near": list(image.near),
        "frames": list(image.frames),
        "independent": image.independent,
        "dependence": image.dependence,
        "chunks": [[offset, len(data)] for offset, data in image.chunks],
        "imports": [[i.symbol, i.version, i.library] for i in imports],
        # Columns of small differences: they compress to a third of rows of absolute numbers.
        "fixup_offsets": [later - earlier for earlier, later in pairwise(offsets)],
        "fixup_kinds": [_KINDS.index(fixup.kind) for fixup in image.fixups],
        # An old address is its va (>= 0), an import is -1 - its place in "imports".
        "fixup_targets": [
            -1 - imports.index(f.target) if isinstance(f.target, Import) else f.target.va
            for f in image.fixups
        ],
        "fixup_addends": [fixup.addend for fixup in image.fixups],
        "functions": [
            [
                f.name,
                [list(pair) for pair in f.ranges],
                f.sha256,
                [list(pair) for pair in f.payload_ranges],
                f.entry,
                f.new_entry,
                f.short and [f.short.pushes, f.short.filler],
            ]
            for f in image.functions
        ],
    }


def _image_from_json(row: _Reader, payload: bytes, at: int) -> tuple[PatchedImage, int]:
    chunks = []
    for offset, size in (_pair(entry) for entry in row.list("chunks", MAX_CHUNKS)):
        if not 0 < size <= len(payload) - at:
            raise HotpatchError("not a valid hotpatch: a chunk has no bytes")
        chunks.append((offset, payload[at : at + size]))
        at += size
    imports = [
        Import(symbol, version, library)
        for symbol, version, library in (_texts(e, 3) for e in row.list("imports", MAX_FIXUPS))
    ]
    image = PatchedImage(
        name=row.text("name"),
        old_build_id=_build_id(row.text("old_build_id")),
        new_build_id=_build_id(row.text("new_build_id")),
        span=row.number("span"),
        chunks=tuple(chunks),
        fixups=_fixups(row, imports),
        functions=tuple(_function(entry) for entry in row.list("functions", MAX_FUNCTIONS)),
        near=_pair(row.value("near")),
        frames=_pair(row.value("frames")),
        independent=row.flag("independent"),
        dependence=row.text("dependence"),
    )
    return image, at


def _fixups(row: _Reader, imports: list[Import]) -> tuple[Fixup, ...]:
    columns = [
        [_integer(value) for value in row.list(f"fixup_{name}", MAX_FIXUPS)]
        for name in ("offsets", "kinds", "targets", "addends")
    ]
    if len({len(column) for column in columns}) != 1:
        raise HotpatchError("not a valid hotpatch: its fixup columns differ in length")
    fixups = []
    offset = 0
    for step, kind, target, addend in zip(*columns, strict=True):
        offset += step
        if not 0 <= kind < len(_KINDS) or target < -len(imports):
            raise HotpatchError("not a valid hotpatch: a fixup of unknown kind or target")
        where = OldAddress(target) if target >= 0 else imports[-1 - target]
        fixups.append(Fixup(offset, _KINDS[kind], where, addend))
    return tuple(fixups)


def _function(entry: Any) -> Function:
    if not isinstance(entry, list) or len(entry) != 7:
        _malformed("function")
    name, ranges, sha256, payload_ranges, detour, new_entry, short = entry
    return Function(
        name=_text(name),
        ranges=_pairs(ranges),
        sha256=_text(sha256),
        payload_ranges=_pairs(payload_ranges),
        entry=None if detour is None else _integer(detour),
        new_entry=_integer(new_entry),
        short=None if short is None else ShortEntry(*_pair(short)),
    )


def _advisory(row: Any) -> AdvisoryVerdict:
    name, state, ground, because = _texts(row, 4)
    try:
        return AdvisoryVerdict(name, AdvisoryState(state), Ground(ground), because)
    except ValueError:
        raise HotpatchError(f"not a valid hotpatch: unknown verdict on {name}") from None


def _refusal(row: Any) -> Refusal:
    if not isinstance(row, list) or len(row) != 4 or not isinstance(row[3], list):
        _malformed("refusal")
    code, sentence, subject = _texts(row[:3], 3)
    evidence = [(name, value) for name, value in (_texts(pair, 2) for pair in row[3])]
    try:
        return Refusal(RefusalCode(code), sentence, subject, tuple(evidence))
    except ValueError:
        raise HotpatchError(f"not a valid hotpatch: unknown refusal {code}; upgrade") from None


def _build_id(text: str) -> BuildId:
    try:
        return BuildId(text)
    except ValueError as error:
        raise HotpatchError(f"not a valid hotpatch: {error}") from None


class _Reader:
    """Typed access to one JSON object; every surprise is a HotpatchError."""

    def __init__(self, what: str, value: Any) -> None:
        if not isinstance(value, dict):
            _malformed(what)
        self._what = what
        self._value: dict[str, Any] = value

    def value(self, name: str) -> Any:
        if name not in self._value:
            raise HotpatchError(f"not a valid hotpatch: its {self._what} has no {name}")
        return self._value[name]

    def text(self, name: str) -> str:
        return _text(self.value(name))

    def number(self, name: str) -> int:
        return _integer(self.value(name))

    def flag(self, name: str) -> bool:
        value = self.value(name)
        return value if isinstance(value, bool) else _malformed(name)

    def object(self, name: str) -> _Reader:
        return _Reader(name, self.value(name))

    def list(self, name: str, most: int) -> list[Any]:
        value = self.value(name)
        return value if isinstance(value, list) and len(value) <= most else _malformed(name)


def _text(value: Any) -> str:
    return value if isinstance(value, str) and len(value) <= MAX_SENTENCE else _malformed("text")


def _texts(value: Any, count: int) -> list[str]:
    if not isinstance(value, list) or len(value) != count:
        _malformed("row")
    return [_text(item) for item in value]


def _integer(value: Any) -> int:
    """An int of at most 63 bits; bool is not one."""
    if type(value) is not int or abs(value) >> 63:
        _malformed("number")
    return value


def _pair(value: Any) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2:
        _malformed("pair")
    return _integer(value[0]), _integer(value[1])


def _pairs(value: Any) -> tuple[tuple[int, int], ...]:
    if not isinstance(value, list) or len(value) > MAX_RANGES:
        _malformed("ranges")
    return tuple(_pair(item) for item in value)


def _malformed(what: str) -> NoReturn:
    raise HotpatchError(f"not a valid hotpatch: malformed {what}")
