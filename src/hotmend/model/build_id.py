"""The identity of one build of one image: the GNU build-id note.

Paths and versions lie (files are replaced, containers carry their own); the build-id does not.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class BuildId:
    """The build-id in lower-case hexadecimal; 8 to 64 bytes (GNU ld writes 20, lld 8 or 16)."""

    hex: str

    def __post_init__(self) -> None:
        if not 16 <= len(self.hex) <= 128 or len(self.hex) % 2:
            raise ValueError(f"a build-id has 8 to 64 bytes, this has {len(self.hex) / 2:g}")
        if set(self.hex) - set("0123456789abcdef"):
            raise ValueError("a build-id is lower-case hexadecimal")

    @classmethod
    def from_bytes(cls, raw: bytes) -> BuildId:
        return cls(raw.hex())

    @property
    def short(self) -> str:
        """The first 12 digits: enough for people, never for matching."""
        return self.hex[:12]

    def __str__(self) -> str:
        return self.hex
