"""Files that commands are given."""

from __future__ import annotations

from pathlib import Path

from hotmend.cli.errors import CommandError
from hotmend.hotpatch.format import MAX_FILE


def read_hotpatch(path: Path) -> bytes:
    """The bytes of a .hotpatch file, never more than the format allows. Raises CommandError."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE + 1)
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from None


def read_text(path: Path) -> str:
    """A text file of somebody's own. Raises CommandError."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise CommandError(f"{path} is not text: byte {error.start} is not UTF-8") from None
