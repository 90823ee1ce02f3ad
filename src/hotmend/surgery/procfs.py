"""What /proc says: small files, read whole; which processes there are; a line of maps."""

from __future__ import annotations

import functools
import os

from hotmend.surgery.errors import ProcessError, ProcessGone
from hotmend.surgery.process import Identity, Mapping, boot_id

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


def pids() -> list[int]:
    """Every process there is."""
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208


def command(pid: int) -> str:
    """What it calls itself, which may be anything; shown as what a terminal can show. Raises
    OSError."""
    name = text(f"{pid}/comm").removesuffix("\n")
    return "".join(letter if letter.isprintable() else "?" for letter in name)


def tids(pid: int) -> list[int]:
    """The threads of a process. Raises OSError."""
    return sorted(int(name) for name in os.listdir(f"/proc/{pid}/task"))  # noqa: PTH208


def children(pid: int) -> list[int]:
    """What a process's threads have forked and is there still. Raises OSError."""
    return [int(child) for tid in tids(pid) for child in text(f"{pid}/task/{tid}/children").split()]


def identify(pid: int) -> Identity:
    """Raises ProcessGone for a pid that is none, or a zombie's."""
    try:
        fields = text(f"{pid}/stat").rpartition(")")[2].split()
    except OSError:
        raise ProcessGone(f"there is no process {pid}") from None
    if fields[0] in "ZX":
        raise ProcessGone(f"process {pid} has ended")
    return Identity(pid, int(fields[19]), boot_id())


def lives(identity: Identity) -> bool:
    """It is still that process."""
    try:
        return identify(identity.pid) == identity
    except ProcessGone:
        return False


@functools.lru_cache(maxsize=4096)
def parse_mapping(line: str) -> Mapping:
    """One line of /proc/PID/maps. Raises ProcessError for what is none."""
    try:
        fields = line.split(maxsplit=5)
        start, _, end = fields[0].partition("-")
        return Mapping(
            start=int(start, 16),
            end=int(end, 16),
            permissions=fields[1],
            offset=int(fields[2], 16),
            device=fields[3],
            inode=int(fields[4]),
            path=fields[5] if len(fields) > 5 else "",
        )
    except (ValueError, IndexError):
        raise ProcessError(f"{line!r} is not a line of /proc/PID/maps") from None
