"""The container around a hotpatch: preamble, digest, header, payload.

::

    0   8s   magic "HOTPATCH"
    8   u32  format version, 1
    12  u32  header, compressed size        16  u32  header, raw size
    20  u32  payload, compressed size       24  u32  payload, raw size
    28  32s  sha256 of bytes 0..27 and of everything after byte 60
    60  ...  header (xz, JSON), payload (xz, the chunks' bytes one after the other)

Numbers are little-endian. Nothing is decompressed or parsed before the digest fits, and nothing
beyond the declared, bounded sizes is ever decompressed. The digest finds damage, not forgery:
who vouches for a file is the signed repository's business.
"""

from __future__ import annotations

import hashlib
import lzma
import struct

from hotmend.hotpatch.bounds import MAX_HEADER, MAX_PAYLOAD
from hotmend.hotpatch.errors import HotpatchError

MAGIC = b"HOTPATCH"
VERSION = 1
_PREAMBLE = struct.Struct("<8sIIIII")
_BODY = _PREAMBLE.size + 32
MAX_FILE = MAX_HEADER + MAX_PAYLOAD
_PRESET = 9 | lzma.PRESET_EXTREME
_MEMORY_LIMIT = 64 << 20


def pack(header: bytes, payload: bytes) -> bytes:
    """The file's bytes. Raises HotpatchError when a part is over its bound."""
    if len(header) > MAX_HEADER or len(payload) > MAX_PAYLOAD:
        raise HotpatchError("the hotpatch is too large for the format")
    packed_header, packed_payload = _compress(header), _compress(payload)
    preamble = _PREAMBLE.pack(
        MAGIC, VERSION, len(packed_header), len(header), len(packed_payload), len(payload)
    )
    body = packed_header + packed_payload
    return preamble + hashlib.sha256(preamble + body).digest() + body


def unpack(data: bytes) -> tuple[bytes, bytes]:
    """(header, payload) of a file's bytes. Raises HotpatchError."""
    if len(data) > MAX_FILE:
        raise HotpatchError(
            f"the file has {len(data):,} bytes; a hotpatch has at most {MAX_FILE:,}"
        )
    if data[: len(MAGIC)] != MAGIC:
        raise HotpatchError("not a .hotpatch file (it does not start with HOTPATCH)")
    if len(data) < _BODY:
        raise HotpatchError("the .hotpatch file is truncated; fetch it again")
    _, version, header_packed, header_raw, payload_packed, payload_raw = _PREAMBLE.unpack_from(data)
    if version != VERSION:
        raise HotpatchError(
            f"format version {version} is not known here (only {VERSION}); upgrade hotmend"
        )
    if len(data) != _BODY + header_packed + payload_packed:
        raise HotpatchError("the .hotpatch file is truncated or has bytes added; fetch it again")
    digest = hashlib.sha256(data[: _PREAMBLE.size])
    digest.update(memoryview(data)[_BODY:])
    if digest.digest() != data[_PREAMBLE.size : _BODY]:
        raise HotpatchError(
            "the .hotpatch file is damaged (its sha256 does not fit); fetch it again"
        )
    if header_raw > MAX_HEADER or payload_raw > MAX_PAYLOAD:
        raise HotpatchError("the .hotpatch file declares a part over the format's bound")
    middle = _BODY + header_packed
    return _expand(data[_BODY:middle], header_raw), _expand(data[middle:], payload_raw)


def _compress(raw: bytes) -> bytes:
    """xz with a dictionary no larger than the data: reader and writer allocate it."""
    size = min(max(len(raw), 4096), 16 << 20)
    filters = [{"id": lzma.FILTER_LZMA2, "preset": _PRESET, "dict_size": size}]
    return lzma.compress(raw, lzma.FORMAT_XZ, check=lzma.CHECK_NONE, filters=filters)


def _expand(packed: bytes, size: int) -> bytes:
    decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY_LIMIT)
    try:
        raw = decompressor.decompress(packed, max_length=size + 1)
        if len(raw) == size and not decompressor.eof:
            raw += decompressor.decompress(b"", max_length=1)
    except (lzma.LZMAError, EOFError) as error:
        raise HotpatchError(f"the .hotpatch file is damaged ({error}); fetch it again") from None
    if len(raw) != size or not decompressor.eof or decompressor.unused_data:
        raise HotpatchError("the .hotpatch file's parts do not have their declared sizes")
    return raw
