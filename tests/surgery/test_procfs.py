"""Small files under /proc."""

import mmap
import os
import subprocess
from pathlib import Path

import pytest

from hotmend.surgery import procfs
from surgery.workshop import eventually


def test_a_file_is_read_whole() -> None:
    assert procfs.text("self/comm") == Path("/proc/self/comm").read_text()
    maps = procfs.lines("self/maps")
    assert len(maps) > 100, "more than one read gives"
    assert any("libc.so" in line for line in maps)


def test_only_a_newline_ends_a_line(tmp_path: Path) -> None:
    file = tmp_path / "a\x0bb\u2028c\x85d"
    file.write_bytes(bytes(8192))
    opened = os.open(file, os.O_RDONLY)
    try:
        assert [file.name in line for line in procfs.lines("self/maps")].count(True) == 0
        with mmap.mmap(opened, 4096, prot=mmap.PROT_READ):
            assert [file.name in line for line in procfs.lines("self/maps")].count(True) == 1
    finally:
        os.close(opened)


def test_what_is_not_there_is_an_os_error() -> None:
    with pytest.raises(FileNotFoundError):
        procfs.text("self/nothing")


def test_a_name_that_speaks_to_terminals_is_shown_harmless(tmp_path: Path) -> None:
    program = tmp_path / "\x1b[2Jcat"
    program.write_bytes(Path("/bin/cat").read_bytes())
    program.chmod(0o755)
    with subprocess.Popen([program], stdin=subprocess.PIPE) as process:
        assert eventually(lambda: procfs.command(process.pid) == "?[2Jcat")
