"""Small files under /proc, read whole."""

from __future__ import annotations

import os

_CHUNK = 1 << 16
_MOST = 64 << 20


def text(name: str) -> str:
    """/proc/``name``, at most 64 MiB of it. Raises OSError."""
    file = os.open(f"/proc/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        chunks = [os.read(file, _CHUNK)]
        while chunks[-1] and sum(map(len, chunks)) < _MOST:
            chunks.append(os.read(file, _CHUNK))
    finally:
        os.close(file)
    return b"".join(chunks).decode(errors="surrogateescape")


def lines(name: str) -> list[str]:
    """Its lines. Only a newline ends one: names of files may hold everything else."""
    return text(name).split("\n")[:-1]
