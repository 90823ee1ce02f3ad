"""The publisher's end: a folder of metadata and targets that any web server can serve.

Root and targets are signed offline, each by a threshold of keys; timestamp and snapshot by one key
online. What is to be signed is staged first (``staged/``): signers add their signatures, one after
the other, on machines of their own if they like, and only what has all of them is published.

Targets are spread over hash bins (TUF's succinct roles), so that a client fetches one small file to
learn of one target. The bins are signed by the targets keys.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from securesystemslib.exceptions import UnverifiedSignatureError, VerificationError
from securesystemslib.signer import Key, Signer
from tuf.api.exceptions import RepositoryError as TufError
from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import (
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    SuccinctRoles,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization import DeserializationError

from hotmend.release.errors import RepositoryError
from hotmend.release.repository.admission import admit

ROOT, TARGETS, SNAPSHOT, TIMESTAMP = "root", "targets", "snapshot", "timestamp"
BIN = "bin"
LIFETIME = {
    ROOT: timedelta(days=365),
    TARGETS: timedelta(days=92),
    SNAPSHOT: timedelta(days=7),
    TIMESTAMP: timedelta(days=1),
}


@dataclass(frozen=True)
class Keys:
    """The public keys of each role, and how many of them must sign."""

    root: tuple[Key, ...]
    root_threshold: int
    targets: tuple[Key, ...]
    targets_threshold: int
    online: Key


@dataclass(frozen=True)
class Missing:
    """A staged file that is not signed by enough: ``have`` of ``need``."""

    name: str
    have: int
    need: int


class Repository:
    """A repository in a folder. Everything may raise RepositoryError."""

    def __init__(self, folder: Path) -> None:
        self.metadata = folder / "metadata"
        self.targets = folder / "targets"
        self.staged = folder / "staged"

    # Beginning, changing: all of it is staged.

    def begin(self, keys: Keys, bits: int, now: datetime) -> None:
        """Stage the first root, targets and all 2**bits bins."""
        if self.metadata.exists() or self.staged.exists():
            raise RepositoryError(f"{self.metadata.parent} is a repository already")
        for folder in (self.metadata, self.targets, self.staged):
            folder.mkdir(parents=True)
        root = Root(expires=now + LIFETIME[ROOT], consistent_snapshot=True)
        _set_keys(root, keys)
        self.stage(ROOT, root)
        targets = Targets(expires=now + LIFETIME[TARGETS])
        targets.delegations = _delegations(keys, bits)
        self.stage(TARGETS, targets)
        for name in targets.delegations.succinct_roles.get_roles():  # type: ignore[union-attr]
            self.stage(name, Targets(expires=now + LIFETIME[TARGETS]))

    def add(
        self, files: Iterable[Path], now: datetime, unproven: str = "", gaps: str = ""
    ) -> list[str]:
        """Copy files into the targets and stage the bins that name them; their target names.
        ``unproven``, ``gaps``: why they are published although ``admission`` says no."""
        names = []
        signers = self._root().roles[TARGETS].threshold
        for path in files:
            target = TargetFile.from_file(path.name, str(path), ["sha256"])
            custom = admit(path, now, signers, unproven, gaps)
            target.unrecognized_fields["custom"] = custom
            shutil.copyfile(path, self.targets / f"{target.hashes['sha256']}.{path.name}")
            name = self.bin_of(path.name)
            signed = self.to_change(name, now)
            signed.targets[path.name] = target
            self.stage(name, signed)
            names.append(path.name)
        return names

    def remove(self, names: Iterable[str], now: datetime) -> None:
        """Stage bins without these targets: clients will not find them any more."""
        for target in names:
            name = self.bin_of(target)
            signed = self.to_change(name, now)
            if signed.targets.pop(target, None) is None:
                raise RepositoryError(f"there is no target {target}")
            self.stage(name, signed)

    def extend(self, now: datetime) -> None:
        """Stage the top-level targets anew, before they expire."""
        self.stage(TARGETS, self.to_change(TARGETS, now))

    def rotate(self, keys: Keys, now: datetime) -> None:
        """Stage a root with other keys, and everything that the targets keys sign, signed anew."""
        root = self._current(ROOT).signed
        assert isinstance(root, Root)
        root.version += 1
        root.expires = now + LIFETIME[ROOT]
        _set_keys(root, keys)
        self.stage(ROOT, root)
        targets = self.to_change(TARGETS, now)
        bits = self._bits(targets)
        targets.delegations = _delegations(keys, bits)
        self.stage(TARGETS, targets)
        for name in self._bins():
            self.stage(name, self.to_change(name, now))

    # Signing.

    def sign(self, signer: Signer) -> list[str]:
        """Add a signature to every staged file that wants this key; their names."""
        signed = []
        for name, metadata in self._staged():
            wanted = {keyid for keys, _ in self._authorities(name) for keyid in keys}
            if signer.public_key.keyid in wanted:
                try:
                    metadata.sign(signer, append=True)
                except UnsignedMetadataError as error:
                    raise RepositoryError(
                        f"the key {signer.public_key.keyid[:16]}… could not sign {name} "
                        f"({error.__cause__ or error}); is its token there, and the PIN right?"
                    ) from None
                self._write(self.staged / f"{name}.json", metadata)
                signed.append(name)
        if not signed:
            raise RepositoryError(
                f"nothing that is staged wants the key {signer.public_key.keyid[:16]}…"
            )
        return signed

    def missing(self) -> list[Missing]:
        """What is staged and not signed by enough keys."""
        found = []
        for name, metadata in self._staged():
            for keys, need in self._authorities(name):
                have = sum(_is_signed_by(metadata, key) for key in keys.values())
                if have < need:
                    found.append(Missing(name, have, need))
        return found

    # Publishing.

    def publish(self, online: Signer, now: datetime) -> list[str]:
        """Move what is staged and fully signed into the metadata, and renew snapshot and
        timestamp; the names of what was moved."""
        missing = self.missing()
        if missing:
            first = missing[0]
            raise RepositoryError(
                f"{first.name} has {first.have} of {first.need} signatures; hotmend repo sign"
            )
        moved = [name for name, _ in self._staged()]
        for name, metadata in self._staged():
            version = metadata.signed.version
            self._write(self.metadata / f"{version}.{name}.json", metadata)
            if name == ROOT:
                self._write(self.metadata / "root.json", metadata)
        for name in moved:
            (self.staged / f"{name}.json").unlink()
        self._renew_snapshot(moved, online, now)
        self.renew(online, now)
        return moved

    def renew(self, online: Signer, now: datetime) -> None:
        """A new timestamp; and a new snapshot, when the old one will not live as long."""
        snapshot = self._current(SNAPSHOT).signed
        if snapshot.expires < now + LIFETIME[TIMESTAMP]:
            self._renew_snapshot([], online, now)
            snapshot = self._current(SNAPSHOT).signed
        path = self.metadata / "timestamp.json"
        version = self._load(path).signed.version if path.exists() else 0
        timestamp = Timestamp(
            version=version + 1,
            expires=now + LIFETIME[TIMESTAMP],
            snapshot_meta=MetaFile(snapshot.version),
        )
        metadata = Metadata(timestamp)
        metadata.sign(online)
        self._write(path, metadata)

    def _renew_snapshot(self, moved: Iterable[str], online: Signer, now: datetime) -> None:
        try:
            snapshot = self._current(SNAPSHOT).signed
            assert isinstance(snapshot, Snapshot)
            snapshot.version += 1
        except RepositoryError:
            snapshot = Snapshot()
        snapshot.expires = now + LIFETIME[SNAPSHOT]
        for name in moved:
            if name != ROOT:
                current = self._current(name)
                # With its hash: bins have the same keys, and one could stand in for another.
                snapshot.meta[f"{name}.json"] = MetaFile.from_data(
                    current.signed.version, current.to_bytes(), ["sha256"]
                )
        metadata = Metadata(snapshot)
        metadata.sign(online)
        self._write(self.metadata / f"{snapshot.version}.snapshot.json", metadata)

    # Reading.

    def to_change(self, name: str, now: datetime) -> Targets:
        """The staged version of a targets role, or a next version of the published one."""
        path = self.staged / f"{name}.json"
        if path.exists():
            signed = self._load(path).signed
        else:
            signed = self._current(name).signed
            signed.version += 1
        assert isinstance(signed, Targets)
        signed.expires = now + LIFETIME[TARGETS]
        return signed

    def _current(self, name: str) -> Metadata:  # type: ignore[type-arg]
        """The newest published version."""
        versions = [
            int(path.name.partition(".")[0])
            for path in self.metadata.glob(f"*.{name}.json")
            if path.name.partition(".")[0].isdigit()
        ]
        if not versions:
            raise RepositoryError(f"{self.metadata} has no {name}; publish it first")
        return self._load(self.metadata / f"{max(versions)}.{name}.json")

    def _staged(self) -> Iterator[tuple[str, Metadata]]:  # type: ignore[type-arg]
        for path in sorted(self.staged.glob("*.json")):
            metadata = self._load(path)
            _refuse_delegations(path.stem, metadata.signed)
            yield path.stem, metadata

    def _root(self) -> Root:
        """The staged one, else the published one."""
        path = self.staged / "root.json"
        root = (self._load(path) if path.exists() else self._current(ROOT)).signed
        assert isinstance(root, Root)
        return root

    def _authorities(self, name: str) -> list[tuple[dict[str, Key], int]]:
        """(keys, threshold) of everybody who must sign a staged file: a new root is signed by the
        keys of the root before it, too."""
        root = self._root()
        role = TARGETS if name.startswith(BIN) else name
        roots = [root]
        if name == ROOT and root.version > 1:
            before = self._current(ROOT).signed
            assert isinstance(before, Root)
            roots.append(before)
        return [
            ({keyid: r.keys[keyid] for keyid in r.roles[role].keyids}, r.roles[role].threshold)
            for r in roots
        ]

    def _targets(self) -> Targets:
        path = self.staged / "targets.json"
        signed = (self._load(path) if path.exists() else self._current(TARGETS)).signed
        assert isinstance(signed, Targets)
        return signed

    def _bits(self, targets: Targets) -> int:
        roles = targets.delegations.succinct_roles if targets.delegations is not None else None
        if roles is None:
            raise RepositoryError("the targets have no hash bins")
        return roles.bit_length

    def _bins(self) -> list[str]:
        roles = self._targets().delegations
        assert roles is not None and roles.succinct_roles is not None
        return list(roles.succinct_roles.get_roles())

    def bin_of(self, target: str) -> str:
        roles = self._targets().delegations
        assert roles is not None and roles.succinct_roles is not None
        return roles.succinct_roles.get_role_for_target(target)

    def stage(self, name: str, signed: Root | Targets) -> None:
        self.staged.mkdir(exist_ok=True)
        self._write(self.staged / f"{name}.json", Metadata(signed))

    def _load(self, path: Path) -> Metadata:  # type: ignore[type-arg]
        try:
            return Metadata.from_bytes(path.read_bytes())
        except OSError as error:
            raise RepositoryError(f"{path} cannot be read: {error.strerror}") from None
        except (DeserializationError, TufError) as error:
            raise RepositoryError(f"{path} is damaged: {error}") from None

    def _write(self, path: Path, metadata: Metadata) -> None:  # type: ignore[type-arg]
        temporary = path.with_name(f".{path.name}.new")
        try:
            temporary.write_bytes(metadata.to_bytes())
            temporary.replace(path)
        except OSError as error:
            raise RepositoryError(f"{path} cannot be written: {error.strerror}") from None


def _set_keys(root: Root, keys: Keys) -> None:
    for role, wanted, threshold in (
        (ROOT, keys.root, keys.root_threshold),
        (TARGETS, keys.targets, keys.targets_threshold),
        (SNAPSHOT, (keys.online,), 1),
        (TIMESTAMP, (keys.online,), 1),
    ):
        if not 0 < threshold <= len({key.keyid for key in wanted}):
            raise RepositoryError(f"{role} needs {threshold} signatures of {len(wanted)} keys")
        for keyid in list(root.roles[role].keyids):
            root.revoke_key(keyid, role)
        for key in wanted:
            root.add_key(key, role)
        root.roles[role].threshold = threshold


def _delegations(keys: Keys, bits: int) -> Delegations:
    if not 1 <= bits <= 12:
        raise RepositoryError("hash bins have 1 to 12 bits")
    known = {key.keyid: key for key in keys.targets}
    roles = SuccinctRoles(list(known), keys.targets_threshold, bits, BIN)
    return Delegations(keys=known, succinct_roles=roles)


def _refuse_delegations(name: str, signed: object) -> None:
    """The bins are all there is: a role that two others delegate to (a diamond) is verified with
    the keys of whichever led to it, and nobody is to sign such a thing by accident."""
    delegations = signed.delegations if isinstance(signed, Targets) else None
    if delegations is not None and (name != TARGETS or delegations.roles is not None):
        raise RepositoryError(f"{name} delegates to roles other than the hash bins; not signed")


def _is_signed_by(metadata: Metadata, key: Key) -> bool:  # type: ignore[type-arg]
    try:
        key.verify_signature(metadata.signatures[key.keyid], metadata.signed_bytes)
    except (KeyError, UnverifiedSignatureError, VerificationError):
        return False
    return True
