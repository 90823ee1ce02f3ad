"""Programs that the benchmarks work on; compiled when they are first asked for."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.surgery import workshop

_SOURCES = Path(__file__).parent


def program(name: str) -> Path:
    """NAME.c, linked against the old build of libvictim."""
    path = workshop.folder() / name
    if not path.exists():
        old = workshop.library()
        subprocess.run(
            [
                *("gcc", "-O2", "-pthread", f"-I{workshop.SOURCES}", str(_SOURCES / f"{name}.c")),
                *(str(old), f"-Wl,-rpath,{old.parent}", "-o", str(path)),
            ],
            check=True,
        )
    return path
