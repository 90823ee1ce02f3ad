"""The file format: what goes in comes out, and nothing else is ever accepted."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import replace

import pytest

from hotmend.hotpatch import format as container
from hotmend.hotpatch.codec import decode, encode
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


def one_function() -> Hotpatch:
    image = PatchedImage(
        name="libone.so.1",
        old_build_id=BuildId("0a" * 20),
        new_build_id=BuildId("1b" * 20),
        span=12288,
        chunks=((16, b"\x48\x8d\x3d\x00\x00\x00\x00\xe8\x00\x00\x00\x00\xc3"), (8192, bytes(8))),
        fixups=(
            Fixup(19, "pcrel32", OldAddress(0x2010), -4),
            Fixup(24, "pcrel32", OldAddress(0x1040), -4),
            Fixup(8192, "abs64", Import("strlen", "GLIBC_2.2.5", "libc.so.6")),
        ),
        functions=(
            Function("one", ((0x1100, 64),), "ab" * 32, ((16, 13),), 0x1100, 16, ShortEntry(1, 7)),
        ),
        near=(0, 0x5000),
        independent=True,
    )
    return Hotpatch(
        package="libone1",
        architecture="amd64",
        old_version="1.0-1",
        new_version="1.0-2",
        images=(image,),
        advisories=(
            AdvisoryVerdict("CVE-2026-1", AdvisoryState.LIVE, Ground.WHOLE_SET, "all of it"),
        ),
        left=(Refusal(RefusalCode.NEW_TLS, "no", "libone", (("old", "0"), ("new", "8"))),),
        made=Made("hotmend test", (("old", "a.deb", "cd" * 32),)),
    )


def test_what_is_written_is_read_back() -> None:
    hotpatch = one_function()
    assert decode(encode(hotpatch)) == hotpatch


def test_the_same_hotpatch_has_the_same_bytes() -> None:
    assert encode(one_function()) == encode(one_function())


def test_a_one_function_hotpatch_is_small() -> None:
    assert len(encode(one_function())) <= 2048


def test_every_flipped_bit_is_refused() -> None:
    data = encode(one_function())
    for at in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[at] ^= 1 << bit
            with pytest.raises(HotpatchError):
                decode(bytes(damaged))


def test_every_truncation_and_extension_is_refused() -> None:
    data = encode(one_function())
    for size in range(len(data)):
        with pytest.raises(HotpatchError):
            decode(data[:size])
    for extra in (b"\0", b"HOTPATCH", data):
        with pytest.raises(HotpatchError):
            decode(data + extra)


def test_a_part_over_its_bound_is_refused_before_it_is_expanded() -> None:
    data = bytearray(container.pack(b"{}", b""))
    data[16:20] = (1 << 31).to_bytes(4, "little")
    digest = hashlib.sha256(data[:28])
    digest.update(data[60:])
    data[28:60] = digest.digest()
    with pytest.raises(HotpatchError, match="bound"):
        decode(bytes(data))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"span": 100}, "span"),
        ({"chunks": ((16, b"\xc3"), (10, b"\xc3"))}, "chunks"),
        ({"chunks": ((16, b"\xc3" * 20000),)}, "outside"),
        ({"fixups": (Fixup(4000, "pcrel32", OldAddress(0x2010)),)}, "outside the payload"),
        ({"fixups": (Fixup(19, "pcrel32", OldAddress(0x9999)),)}, "leaves the old image"),
        ({"fixups": (Fixup(19, "magic", OldAddress(0x2010)),)}, "kind"),
        ({"new_build_id": BuildId("0a" * 20)}, "same"),
        ({"functions": ()}, "number of functions"),
        (
            {"functions": (Function("f", ((0x1100, 64),), "ab" * 32, ((16, 13),), 0x2100, 16),)},
            "detour",
        ),
        (
            {"functions": (Function("f", ((0x4FFF, 64),), "ab" * 32, ((16, 13),), None, 16),)},
            "outside the old image",
        ),
        *(
            (
                {
                    "functions": (
                        Function(
                            "f", ((0x1100, 64),), "ab" * 32, ((16, 13),), entry, 16, ShortEntry(*s)
                        ),
                    )
                },
                "short entry",
            )
            for entry, s in (
                (None, (0, 5)),
                (0x1100, (0, 4)),
                (0x1100, (1, 5)),
                (0x1100, (4, 16)),
                (0x1100, (0, 17)),
            )
        ),
    ],
)
def test_what_does_not_hold_together_is_neither_written_nor_read(
    change: dict[str, object], what: str
) -> None:
    good = one_function()
    assert decode(encode(good)) == good
    bad = replace(good, images=(replace(good.images[0], **change),))  # type: ignore[arg-type]
    with pytest.raises(HotpatchError, match=what):
        encode(bad)


def test_any_change_to_the_header_is_refused_or_harmless() -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    header, payload = container.unpack(encode(one_function()))
    refused = 0
    for _ in range(2000):
        content = json.loads(header)
        _mutate(content, chance)
        try:
            read = decode(container.pack(json.dumps(content).encode(), payload))
        except HotpatchError:
            refused += 1
        else:
            assert decode(encode(read)) == read
    assert 0 < refused < 2000


def _mutate(value: object, chance: random.Random) -> None:
    """Replace one value somewhere inside by something unlikely."""
    strange = [None, -1, 1 << 70, "", "x" * 600, [], {}, True, 1.5, [[[]]], 0]
    while isinstance(value, dict | list) and value:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = chance.choice(keys)
        child = value[key]
        if not isinstance(child, dict | list) or not child or chance.random() < 0.3:
            value[key] = chance.choice(strange)
            return
        value = child
