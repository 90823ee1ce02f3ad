"""A repository as it lies before the server, which looks at no signatures: nobody has signed it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tuf.api.metadata import Metadata, MetaFile, Snapshot, TargetFile, Targets, Timestamp


def publish(folder: Path, files: Mapping[str, bytes], taken_back: str = "") -> None:
    """Beside what it has already, but for one."""
    metadata, targets = folder / "metadata", folder / "targets"
    for made in (metadata, targets):
        made.mkdir(parents=True, exist_ok=True)
    version = len(list(metadata.glob("*.bin.json"))) + 1
    bin_of_all = Targets(version=version)
    if version > 1:
        before = Metadata[Targets].from_file(str(metadata / f"{version - 1}.bin.json"))
        bin_of_all.targets = before.signed.targets
        bin_of_all.targets.pop(taken_back, None)
    for name, data in files.items():
        target = TargetFile.from_data(name, data, ["sha256"])
        bin_of_all.targets[name] = target
        (targets / f"{target.hashes['sha256']}.{name}").write_bytes(data)
    newest = MetaFile(version)
    _write(metadata / f"{version}.bin.json", bin_of_all)
    _write(metadata / f"{version}.snapshot.json", Snapshot(version, meta={"bin.json": newest}))
    _write(metadata / "timestamp.json", Timestamp(version, snapshot_meta=newest))


def _write(path: Path, signed: Any) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_bytes(Metadata(signed).to_bytes())
    temporary.replace(path)
