"""A test program that waits before main() and runs in forks of itself: see forkserver.c."""

from __future__ import annotations

import mmap
import os
import struct
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_ROW = struct.Struct("<QBB6x")
_ANSWER = struct.Struct("<iQq")


@dataclass(frozen=True)
class Result:
    """What one run left behind: exit status (negative: the signal), output, how often it asked
    for memory and how many blocks it never gave back."""

    status: int
    output: bytes
    errors: bytes
    allocations: int
    kept: int


def build_shim(folder: Path) -> Path:
    """Compile the preloaded half."""
    shim = folder / "forkserver.so"
    here = Path(__file__).parent / "forkserver.c"
    command = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([*command, str(here), "-o", str(shim)], check=True)
    return shim


class Server:
    """One process of ``program``, its libraries mapped, ``main`` not yet entered.

    A context manager: leaving it ends the process. ``counters``: how many addresses
    :meth:`count_entries` may watch.
    """

    def __init__(
        self, program: Path, libraries: Path, shim: Path, folder: Path, counters: int = 0
    ) -> None:
        self._folder = folder
        self._counters = folder / f"counters-{program.name}-{os.urandom(4).hex()}"
        requests, self._requests = os.pipe()
        self._answers, answers = os.pipe()
        environment = {
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "HOME": str(folder),
            "LD_LIBRARY_PATH": str(libraries),
            "LD_PRELOAD": str(shim),
            "REQUESTS": str(requests),
            "ANSWERS": str(answers),
        }
        if counters:
            self._counters.write_bytes(bytes(8 + counters * _ROW.size))
            environment["COUNTERS"] = str(self._counters)
        self._process = subprocess.Popen(
            [program], env=environment, stdin=subprocess.DEVNULL, pass_fds=(requests, answers)
        )
        os.close(requests)
        os.close(answers)
        self._answer()

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._requests)
        os.close(self._answers)
        self._process.wait(timeout=10)

    def run(
        self,
        arguments: Iterable[str],
        folder: Path,
        stdin: Path = Path(os.devnull),
        environment: Iterable[tuple[str, str]] = (),
    ) -> Result:
        """``main`` with these arguments in a fork of the waiting process."""
        output, errors = self._folder / "output", self._folder / "errors"
        fields = [str(folder), str(stdin), str(output), str(errors)]
        fields += [f"{name}={value}" for name, value in environment]
        fields += ["", "program", *arguments]
        request = b"".join(field.encode() + b"\0" for field in fields)
        os.write(self._requests, struct.pack("<I", len(request)) + request)
        status, allocations, kept = self._answer()
        code = os.waitstatus_to_exitcode(status)
        return Result(code, output.read_bytes(), errors.read_bytes(), allocations, kept)

    def base_of(self, file: Path) -> int:
        """Where the first page of a mapped file lies."""
        wanted = str(file.resolve())
        for line in Path(f"/proc/{self.pid}/maps").read_text().splitlines():
            fields = line.split(maxsplit=5)
            if fields[-1] == wanted and int(fields[2], 16) == 0:
                return int(fields[0].split("-")[0], 16)
        raise LookupError(f"{wanted} is not mapped in process {self.pid}")

    def peek(self, address: int, size: int) -> bytes:
        with Path(f"/proc/{self.pid}/mem").open("rb", buffering=0) as memory:
            memory.seek(address)
            return memory.read(size)

    def count_entries(self, addresses: Iterable[int]) -> None:
        """Plant a breakpoint at each address; :meth:`entered` tells which were reached."""
        rows = [(address, self.peek(address, 1)[0]) for address in addresses]
        table = struct.pack("<Q", len(rows)) + b"".join(_ROW.pack(*row, 0) for row in rows)
        with self._counters.open("r+b") as file, mmap.mmap(file.fileno(), 0) as shared:
            shared[: len(table)] = table
        with Path(f"/proc/{self.pid}/mem").open("r+b", buffering=0) as memory:
            for address, _ in rows:
                memory.seek(address)
                memory.write(b"\xcc")

    def entered(self) -> set[int]:
        """The watched addresses that some run has reached."""
        table = self._counters.read_bytes()
        (count,) = struct.unpack_from("<Q", table)
        rows = (_ROW.unpack_from(table, 8 + n * _ROW.size) for n in range(count))
        return {address for address, _, hit in rows if hit}

    def _answer(self) -> tuple[int, int, int]:
        data = os.read(self._answers, _ANSWER.size)
        if len(data) != _ANSWER.size:
            raise RuntimeError(f"{self._process.args} ended before it answered")
        return _ANSWER.unpack(data)
