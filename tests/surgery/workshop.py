"""Targets and hotpatches for the surgery tests: compiled and assembled here, not stored.

``victim.c`` is compiled twice, as the old and as the fixed build. Its functions stand alone, so a
payload is just the fixed build's bytes, one function after the other.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from elftools.elf.elffile import ELFFile

from hotmend.binary.elf import load
from hotmend.binary.frames import eh_frame, read_frames
from hotmend.diff.program import Program
from hotmend.diff.short_entry import short_entry
from hotmend.hotpatch.hotpatch import (
    PAGE,
    Fixup,
    Function,
    Hotpatch,
    Made,
    PatchedImage,
    ShortEntry,
)
from hotmend.model.build_id import BuildId
from hotmend.surgery.linux import LinuxProcess
from hotmend.surgery.process import Range

SOURCES = Path(__file__).parents[1] / "targets"
_SESSION = f'-DSESSION="{uuid.uuid4()}"'
_FLAGS = ("-O2", "-g0", "-Wall", "-Wl,--build-id", "-fcf-protection=none", "-pthread", _SESSION)


@lru_cache
def folder() -> Path:
    """Readable for everybody: some tests run as nobody."""
    path = Path(tempfile.mkdtemp(prefix="hotmend-targets-"))
    path.chmod(0o755)
    return path


def _gcc(*words: str | Path) -> None:
    subprocess.run(["gcc", *_FLAGS, *map(str, words)], check=True, capture_output=True, text=True)


def library(build: str = "old") -> Path:
    """libvictim.so.1 as the "old" or the "fixed" build; compiled once."""
    path = folder() / build / "libvictim.so.1"
    if path.exists():
        return path
    path.parent.mkdir(exist_ok=True)
    define = ["-DFIXED"] if build == "fixed" else []
    _gcc(
        "-shared", "-fPIC", "-Wl,-soname,libvictim.so.1", *define, SOURCES / "victim.c", "-o", path
    )
    return path


@lru_cache
def program(name: str) -> Path:
    """tests/targets/NAME.c, linked against the old build."""
    path = folder() / name
    source = SOURCES / f"{name.removesuffix('_pie')}.c"
    if not source.exists():
        old = library()
        cxx = ("g++", *_FLAGS, SOURCES / f"{name}.cpp", old, f"-Wl,-rpath,{old.parent}")
        subprocess.run([*map(str, cxx), "-o", str(path)], check=True, capture_output=True)
        return path
    if name in ("alone", "alone_pie"):
        kind = "-static-pie" if name == "alone_pie" else "-static"
        _gcc(kind, "-fPIE", source, SOURCES / "victim.c", "-o", path)
    elif name == "bits32":
        _gcc("-m32", "-nostdlib", "-static", "-fno-pie", "-no-pie", source, "-o", path)
    else:
        old = library()
        words = ("-Wl,--as-needed", old, f"-Wl,-rpath,{old.parent}", "-o", path)
        _gcc(source, *words)
    return path


class Target:
    """A running target. ``ask`` is one line to its stdin and the number it answers."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.pid = int(self._line())

    def ask(self, word: str = "answer") -> int:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        return int(self._line())

    def state(self) -> str:
        text = Path(f"/proc/{self.pid}/stat").read_text()
        return text.rpartition(")")[2].split()[0]

    def tracer(self) -> int:
        return max(int(field(self.pid, tid, "TracerPid") or 0) for tid in threads(self.pid))

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the target ended: {self.process.wait(5)}"
        return line


@contextmanager
def running(
    name: str, *words: str, user: int | None = None, path: Path | None = None
) -> Iterator[Target]:
    """A target that has said that it is ready. It is killed on the way out."""
    process = subprocess.Popen(
        [str(path or program(name)), *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        user=user,
    )
    try:
        target = Target(process)
        if name == "bits32":
            target.pid = process.pid
        yield target
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def private_copy(name: str, where: Path) -> Path:
    """A program with a library of its own, to delete or replace under it."""
    where.mkdir(exist_ok=True)
    old = where / "libvictim.so.1"
    shutil.copy(library(), old)
    path = where / name
    _gcc(SOURCES / f"{name}.c", old, f"-Wl,-rpath,{where}", "-o", path)
    return path


@lru_cache
def symbols(path: Path) -> dict[str, tuple[int, int]]:
    """name -> (va, size) of the functions it exports."""
    with path.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".dynsym")
        return {
            s.name: (s["st_value"], s["st_size"])
            for s in table.iter_symbols()
            if s["st_info"]["type"] == "STT_FUNC" and s["st_value"]
        }


def code(path: Path, va: int, size: int) -> bytes:
    with path.open("rb") as file:
        for segment in ELFFile(file).iter_segments("PT_LOAD"):
            if segment["p_vaddr"] <= va < segment["p_vaddr"] + segment["p_filesz"]:
                file.seek(segment["p_offset"] + va - segment["p_vaddr"])
                return file.read(size)
    raise ValueError(f"{path} has nothing at {va:#x}")


@lru_cache
def build_id(path: Path) -> BuildId:
    with path.open("rb") as file:
        note = ELFFile(file).get_section_by_name(".note.gnu.build-id")
        return BuildId(next(note.iter_notes())["n_desc"])


@lru_cache
def _old_program() -> Program:
    return Program(load(library().read_bytes(), "libvictim.so.1"))


def hotpatch(
    *names: str,
    independent: bool = False,
    fixups: Sequence[Fixup] = (),
    tail: bytes = b"",
    span: int = 0,
    old_build_id: BuildId | None = None,
    package: str = "libvictim1",
    framed: bool = True,
) -> Hotpatch:
    """A hotpatch of these functions of libvictim. ``tail`` follows the functions' bytes."""
    old, fixed = library("old"), library("fixed")
    before, after = symbols(old), symbols(fixed)
    payload = b""
    functions = []
    frames = {frame.start: frame for frame in read_frames(fixed.read_bytes(), "fixed")}
    moved = []
    for name in sorted(names, key=lambda n: before[n]):
        body = code(fixed, *after[name])
        found = short_entry(_old_program(), before[name][0])
        payload += b"\xcc" * (-len(payload) % 16)
        functions.append(
            Function(
                name=name,
                ranges=(before[name],),
                sha256=hashlib.sha256(code(old, *before[name])).hexdigest(),
                payload_ranges=((len(payload), len(body)),),
                entry=before[name][0],
                new_entry=len(payload),
                short=found and ShortEntry(*found),
            )
        )
        moved.append((len(payload), frames[after[name][0]]))
        payload += body
    payload += tail
    table = 0, 0
    if framed:
        payload += b"\0" * (-len(payload) % 8)
        data = eh_frame(moved, len(payload))
        table = len(payload), len(data)
        payload += data
    image = PatchedImage(
        name="libvictim.so.1",
        old_build_id=old_build_id or build_id(old),
        new_build_id=build_id(fixed),
        span=max(span, -(-len(payload) // PAGE) * PAGE),
        chunks=((0, payload),),
        fixups=tuple(fixups),
        functions=tuple(functions),
        near=(0, 0x8000),
        frames=table,
        independent=independent,
        dependence="" if independent else "its functions were built by hand",
    )
    return Hotpatch(
        package=package,
        architecture="amd64",
        old_version="1.0-1",
        new_version="1.0-2",
        images=(image,),
        advisories=(),
        left=(),
        made=Made("workshop", ()),
    )


def range_of(process: LinuxProcess, name: str) -> Range:
    """A function of the old build, where the process has it."""
    wanted = build_id(library())
    module = next(m for m in process.modules() if m.build_id == wanted)
    va, size = symbols(library())[name]
    return Range(module.bias + va, module.bias + va + size, name)


def threads(pid: int) -> list[int]:
    return [int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir()]


def field(pid: int, tid: int, name: str) -> str:
    """From a thread's status; "" when the thread has ended."""
    try:
        text = Path(f"/proc/{pid}/task/{tid}/status").read_text()
    except OSError:
        return ""
    for line in text.splitlines():
        if line.startswith(f"{name}:"):
            return line.partition(":")[2].strip()
    return ""


def eventually(holds: Callable[[], bool], within_s: float = 5.0) -> bool:
    """Ask until it holds, or until time is up."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def resting(target: Target) -> bool:
    """Every thread of it waits in a call, now or soon."""
    return eventually(lambda: set(states(target)) == {"S"})


def states(target: Target) -> str:
    """A letter for each thread, as in ``Target.state``."""
    return "".join(field(target.pid, tid, "State")[:1] for tid in threads(target.pid))


def is_root() -> bool:
    return os.geteuid() == 0


def as_nobody(work: Callable[[], str]) -> str:
    """What ``work`` returns when another user, without any right, does it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            os.write(writing, work().encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return text
