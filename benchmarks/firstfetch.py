"""What a new machine fetches to learn of one target among many.

    scripts/bench firstfetch

A repository of 10,000 targets in 256 hash bins, one of 100,000 in 1,024; bytes and time from the
first request to the verified target, over HTTP on loopback, beside one flat file of metadata.
"""

from __future__ import annotations

import hashlib
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from securesystemslib.signer import CryptoSigner
from tests.release.mirror import serving
from tuf.api.metadata import Metadata, TargetFile, Targets

from hotmend.release.repository import client
from hotmend.release.repository.client import Place
from hotmend.release.repository.publisher import Keys, Repository

SIZES = ((10_000, 8), (100_000, 10))
ROUNDS = 5
DATA = b"\x7fhotpatch" * 1000


def main() -> None:
    print("| targets | bins | requests | bytes | of them metadata | ms (median) | flat metadata |")
    print("|---|---|---|---|---|---|---|")
    for count, bits in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            print(row(Path(folder), count, bits), flush=True)


def row(folder: Path, count: int, bits: int) -> str:
    flat = make(folder / "repository", count, bits)
    times, sizes, requests = [], [], []
    with serving(folder) as url:
        for number in range(ROUNDS):
            place = Place(
                folder / f"trusted{number}",
                f"{url}/repository/metadata/",
                f"{url}/repository/targets/",
            )
            client.trust(place.metadata, folder / "repository" / "metadata" / "1.root.json")
            began = time.monotonic()
            into = folder / f"into{number}"
            client.download(place, "package-00042.hotpatch", into)
            times.append((time.monotonic() - began) * 1000)
            fetched = [
                p for p in place.metadata.rglob("*.json") if p.is_file() and not p.is_symlink()
            ]
            fetched = [p for p in fetched if "root" not in p.name]
            sizes.append(sum(path.stat().st_size for path in fetched))
            requests.append(len(fetched) + 2)
    metadata = int(statistics.median(sizes))
    return (
        f"| {count:,} | {2**bits:,} | {requests[0]} | {metadata + len(DATA):,} | {metadata:,} "
        f"| {statistics.median(times):.0f} | {flat:,} |"
    )


def make(folder: Path, count: int, bits: int) -> int:
    """A repository whose targets are all the same small file; the size of its metadata if it were
    flat."""
    root, targets, online = (CryptoSigner.generate_ed25519() for _ in range(3))
    keys = Keys((root.public_key,), 1, (targets.public_key,), 1, online.public_key)
    repository, now = Repository(folder), datetime.now(UTC)
    repository.begin(keys, bits, now)
    digest = hashlib.sha256(DATA).hexdigest()
    bins: dict[str, Targets] = {}
    everything = Targets()
    for number in range(count):
        name = f"package-{number:05}.hotpatch"
        target = TargetFile(len(DATA), {"sha256": digest}, name)
        role = repository.bin_of(name)
        if role not in bins:
            bins[role] = repository.to_change(role, now)
        bins[role].targets[name] = everything.targets[name] = target
    for role, signed in bins.items():
        repository.stage(role, signed)
    for number in range(0, count, max(1, count // 50)):
        (folder / "targets" / f"{digest}.package-{number:05}.hotpatch").write_bytes(DATA)
    (folder / "targets" / f"{digest}.package-00042.hotpatch").write_bytes(DATA)
    for signer in (root, targets):
        repository.sign(signer)
    repository.publish(online, now)
    return len(Metadata(everything).to_bytes())


if __name__ == "__main__":
    main()
