"""Two versions of a small C library, compiled as a distribution would, stripped, and diffed."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hotmend.binary.elf import load
from hotmend.diff.changeset import ChangeSet
from hotmend.diff.differ import diff

Diff = Callable[..., ChangeSet]
_FLAGS = ("-O2", "-fPIC", "-g0", "-Wl,--build-id", "-Wl,-z,relro", "-s")


def compiled(folder: Path, source: str, *flags: str) -> bytes:
    """The bytes of a shared library (or, with -pie, of a program)."""
    text = folder / "code.c"
    text.write_text(source)
    kind = () if "-pie" in flags else ("-shared",)
    image = folder / "image.so"
    subprocess.run(
        ["gcc", *_FLAGS, *kind, "-o", image, text, *flags], check=True, capture_output=True
    )
    return image.read_bytes()


@pytest.fixture
def diff_of(tmp_path: Path) -> Diff:
    """``diff_of(old source, new source, *flags, new_flags=())``."""

    def build(old: str, new: str, *flags: str, new_flags: tuple[str, ...] = ()) -> ChangeSet:
        images = []
        for name, source, extra in (("old", old, ()), ("new", new, new_flags)):
            folder = tmp_path / name
            folder.mkdir(exist_ok=True)
            images.append(load(compiled(folder, source, *flags, *extra), "image.so"))
        return diff(*images)

    return build
