"""Who may import whom: the arrows of ARCHITECTURE.md, checked in the source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import hotmend

ALLOWED: dict[str, set[str]] = {
    "model": set(),
    "binary": {"model"},
    "diff": {"binary", "model"},
    "hotpatch": {"model"},
    "build": {"binary", "diff", "hotpatch", "model"},
    "surgery": {"binary", "hotpatch", "model"},
    "release": {"hotpatch", "model"},
    "agent": {"hotpatch", "model", "release", "surgery"},
    "fleet": {"model"},
    "server": {"fleet", "hotpatch", "model", "release"},
    "client": {"model"},
    "simulation": {"agent", "client", "fleet", "model", "release", "server"},
    "pairs": {"model"},
    "demo": {"model", "pairs"},
    "cli": {
        *("agent", "binary", "build", "client", "demo", "diff", "hotpatch", "model", "pairs"),
        *("release", "server", "simulation", "surgery"),
    },
}
SOURCE = Path(hotmend.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))


def room(parts: tuple[str, ...]) -> str:
    """("binary", "elf.py") -> "binary"; ("pairs.py",) -> "pairs"."""
    return parts[0].removesuffix(".py")


def imported_rooms(source: str) -> set[str]:
    """The rooms of Hotmend that a module imports, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide the room"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {n.split(".")[1] for n in names if n.startswith("hotmend.") and n.count(".")}
    return found - {"__version__"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_imports_only_the_rooms_that_its_room_may(path: Path) -> None:
    own = room(path.relative_to(SOURCE).parts)
    if own in ("__init__", "__main__"):
        allowed = {"cli"} if own == "__main__" else set()
    else:
        assert own in ALLOWED, f"{own} is a room that ARCHITECTURE.md does not know"
        allowed = ALLOWED[own] | {own}
    assert imported_rooms(path.read_text()) <= allowed


def test_the_halves_of_the_engine_meet_only_in_the_file() -> None:
    assert not ALLOWED["surgery"] & {"diff", "build"}
    assert not {"surgery"} & (ALLOWED["diff"] | ALLOWED["build"] | ALLOWED["binary"])
    assert not any("cli" in rooms for rooms in ALLOWED.values())


def test_an_import_inside_a_function_counts_too() -> None:
    source = "def f():\n    from hotmend.diff.match import x\n    import hotmend.surgery.plan\n"
    assert imported_rooms(source) == {"diff", "surgery"}
    assert imported_rooms("from hotmend import pairs") == {"pairs"}
    assert imported_rooms("import hotmend\nimport os") == set()
