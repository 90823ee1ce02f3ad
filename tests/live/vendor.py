"""A vendor's signed repositories, and how they come to be served."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from hotmend.demo.control_plane import ControlPlane


@dataclass(frozen=True)
class Vendor:
    """``begun``: a repository with nothing in it yet; ``released``: the same with a release."""

    begun: Path
    released: Path

    @property
    def root(self) -> Path:
        """What machines are given to trust."""
        return self.released / "metadata" / "1.root.json"


def serve(repository: Path, plane: ControlPlane) -> None:
    """Copy it to where it is served from; what names a release, last."""
    for name in ("metadata", "targets"):
        served = plane.data / "repository" / name
        served.mkdir(mode=0o755, parents=True, exist_ok=True)
        files = (repository / name).iterdir()
        for file in sorted(files, key=lambda file: file.name.endswith("release.json")):
            shutil.copy2(file, served / name if file.is_dir() else served)
