"""A repository with all its keys, the mirror that serves it, and whoever has the mirror in hand."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner, Signer
from tuf.api.metadata import Metadata, MetaFile, Snapshot, TargetFile, Timestamp

from hotmend.release.repository import client, keys
from hotmend.release.repository.client import Place
from hotmend.release.repository.publisher import Keys, Repository

GOOD, LATER, EVIL = b"good " * 100, b"later " * 100, b"evil! " * 100
NAME = "nginx.bin"
NAMES = ("root1", "root2", "root3", "targets1", "targets2", "online")
ROLES = ("root", "timestamp", "snapshot", "targets", "bin")


@dataclass
class Mirror:
    """``folder``: the repository, in the attacker's hands; ``place``: a machine's end of it."""

    folder: Path
    keys: dict[str, Signer]
    place: Place
    downloads: Path

    def __post_init__(self) -> None:
        self.bin = self.repository.bin_of(NAME)

    @property
    def repository(self) -> Repository:
        return Repository(self.folder)

    @property
    def metadata(self) -> Path:
        return self.folder / "metadata"

    def download(self) -> bytes:
        """What the real client installs. Raises RepositoryError."""
        return client.download(self.place, NAME, self.downloads).path.read_bytes()

    def publish(self, data: bytes, now: datetime | None = None) -> None:
        """The publishers' own next release, with every role in a new version."""
        source = self.folder.parent / "source" / NAME
        source.parent.mkdir(exist_ok=True)
        source.write_bytes(data)
        when = now or datetime.now(UTC)
        self.repository.extend(when)
        self.repository.add([source], when)
        self.sign_and_publish(when)

    def sign_and_publish(self, now: datetime) -> None:
        for name in NAMES[:-1]:
            signer = self.keys[name]
            wanted = {missing.name for missing in self.repository.missing()}
            if wanted:
                try:
                    self.repository.sign(signer)
                except Exception as error:
                    assert "wants the key" in str(error)
        self.repository.publish(self.keys["online"], now)

    # The attacker's tools.

    def name_of(self, role: str) -> str:
        """The role's name in file names."""
        return self.bin if role == "bin" else role

    def file(self, role: str) -> Path:
        """The newest file of a role."""
        name = self.name_of(role)
        if role == "timestamp":
            return self.metadata / "timestamp.json"
        found = [p for p in self.metadata.glob(f"*.{name}.json") if p.name[0].isdigit()]
        return max(found, key=lambda p: int(p.name.partition(".")[0]))

    def forge(
        self,
        role: str,
        change: Callable[[Any], None],
        signers: list[Signer],
        *,
        online: Signer | None = None,
        duplicate: bool = False,
    ) -> None:
        """Change the newest file of a role, sign it with ``signers`` alone, and with ``online``
        make snapshot and timestamp say that it is the newest."""
        metadata = Metadata.from_bytes(self.file(role).read_bytes())
        change(metadata.signed)
        metadata.signatures.clear()
        for signer in signers:
            metadata.sign(signer, append=True)
        version = metadata.signed.version
        name = self.name_of(role)
        path = self.metadata / f"{version}.{name}.json"
        if role == "timestamp":
            path = self.metadata / "timestamp.json"
        data = json.loads(metadata.to_bytes())
        if duplicate:
            data["signatures"] *= 2
        path.write_text(json.dumps(data))
        if online is not None:
            self.reindex(online)

    def reindex(self, online: Signer) -> None:
        """Snapshot and timestamp that speak of the newest files, by whoever has the online key."""
        snapshot = Metadata[Snapshot].from_bytes(self.file("snapshot").read_bytes())
        for role in ("targets", "bin"):
            version = int(self.file(role).name.partition(".")[0])
            snapshot.signed.meta[f"{self.name_of(role)}.json"] = MetaFile(version)
        snapshot.signed.version += 1
        snapshot.sign(online)
        path = self.metadata / f"{snapshot.signed.version}.snapshot.json"
        path.write_bytes(snapshot.to_bytes())
        timestamp = Metadata[Timestamp].from_bytes(self.file("timestamp").read_bytes())
        timestamp.signed.version += 1
        timestamp.signed.snapshot_meta.version = snapshot.signed.version
        timestamp.sign(online)
        self.file("timestamp").write_bytes(timestamp.to_bytes())

    def plant(self) -> TargetFile:
        """Put the evil file where the client would look for it; how metadata would name it."""
        source = self.folder.parent / "evil" / NAME
        source.parent.mkdir(exist_ok=True)
        source.write_bytes(EVIL)
        target = TargetFile.from_file(NAME, str(source), ["sha256"])
        shutil.copy(source, self.folder / "targets" / f"{target.hashes['sha256']}.{NAME}")
        return target


def begin(folder: Path) -> dict[str, Signer]:
    """A repository with one target, two root signatures of three and two targets signatures."""
    signers: dict[str, Signer] = {}
    for name in NAMES:
        keys.create(folder / name)
        signers[name] = keys.signer(folder / f"{name}.pub")
    publics = {name: signer.public_key for name, signer in signers.items()}
    wanted = Keys(
        (publics["root1"], publics["root2"], publics["root3"]),
        2,
        (publics["targets1"], publics["targets2"]),
        2,
        publics["online"],
    )
    repository = Repository(folder / "repository")
    repository.begin(wanted, 2, datetime.now(UTC))
    mirror = Mirror(folder / "repository", signers, Place(folder, "", ""), folder)
    mirror.publish(GOOD)
    return signers


def attacker() -> Signer:
    return CryptoSigner.generate_ed25519()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing."""


class QuietServer(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that hangs up in the middle of endless data is right to."""


@contextmanager
def serving(
    folder: Path, kind: type[http.server.SimpleHTTPRequestHandler] = _Quiet
) -> Iterator[str]:
    """The folder by HTTP on loopback; its URL."""
    handler = functools.partial(kind, directory=str(folder))
    server = QuietServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def dripping(folder: Path, slow: str, pause_s: float) -> Iterator[str]:
    """The same, but the file named ``slow`` comes a byte at a time, with a pause after each."""

    class Dripping(_Quiet):
        def copyfile(self, source: Any, outputfile: Any) -> None:
            if Path(self.path).name != slow:
                super().copyfile(source, outputfile)
                return
            while byte := source.read(1):
                outputfile.write(byte)
                outputfile.flush()
                time.sleep(pause_s)

    with serving(folder, Dripping) as url:
        yield url
