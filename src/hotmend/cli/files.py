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
