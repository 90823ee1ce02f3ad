"""Whoever has the mirror, the network, or some of the keys, and what the real client makes of it.

Each case begins with a machine that can install (the control: it does), lets the attacker act on
the mirror, and asks the client again. A wrong install is content that no publisher released.
"""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import Key, Signer
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, MetaFile, TargetFile, Targets

from hotmend.release.errors import RepositoryError
from hotmend.release.repository import client
from hotmend.release.repository.client import Place
from release.mirror import (
    EVIL,
    GOOD,
    LATER,
    NAME,
    ROLES,
    Mirror,
    attacker,
    begin,
    dripping,
    serving,
)

_numbers = itertools.count()
_PAST = datetime.now(UTC) - timedelta(days=1)


@dataclass(frozen=True)
class World:
    """What all cases begin from."""

    folder: Path
    url: str
    keys: dict[str, Signer]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("mirrors")
    (folder / "template").mkdir()
    signers = begin(folder / "template")
    with serving(folder) as url:
        yield World(folder, url, signers)


@pytest.fixture(params=["a new machine", "a machine that knows the release before"])
def mirror(request: pytest.FixtureRequest, world: World) -> Mirror:
    """The second release is out; the machine has the first, or nothing yet."""
    case = world.folder / f"case{next(_numbers)}"
    shutil.copytree(world.folder / "template" / "repository", case / "repository")
    url = f"{world.url}/{case.name}/repository"
    place = Place(case / "trusted", f"{url}/metadata/", f"{url}/targets/")
    found = Mirror(case / "repository", world.keys, place, case / "installed")
    client.trust(place.metadata, found.metadata / "1.root.json")
    if "knows" in request.param:
        assert found.download() == GOOD
    found.publish(LATER)
    return found


def assert_never_wrong(mirror: Mirror, *, noticed: bool) -> None:
    """The client installs nothing that was not released; ``noticed``: and says so."""
    try:
        content = mirror.download()
    except RepositoryError as error:
        assert str(error)
    else:
        assert content in (GOOD, LATER)
        assert not noticed, "the client noticed nothing"
    installed = mirror.downloads / NAME
    assert not installed.exists() or installed.read_bytes() in (GOOD, LATER)


def test_without_an_attack_the_next_release_is_installed(mirror: Mirror) -> None:
    """The positive control of every case."""
    assert mirror.download() == LATER


# Changes to a role's content, each of which would matter.


def _evil(mirror: Mirror, role: str) -> Callable[[Any], None]:
    target = mirror.plant()

    def change(signed: Any) -> None:
        signed.version += 1
        match role:
            case "root":
                signed.roles["targets"].threshold = 1
            case "timestamp":
                signed.snapshot_meta.version += 1
            case "snapshot":
                signed.meta[f"{mirror.name_of('bin')}.json"].version += 1
            case "targets":
                signed.delegations.succinct_roles.threshold = 1
            case "bin":
                signed.targets[NAME] = target

    return change


def _nothing(_: Any) -> None:
    """Keep it."""


def _expire(signed: Any) -> None:
    signed.expires = _PAST
    signed.version += 1


_OFFLINE = {"root": ("root1", "root2"), "targets": ("targets1", "targets2")}
_OFFLINE["bin"] = _OFFLINE["targets"]


def _right(mirror: Mirror, role: str) -> list[Signer]:
    return [mirror.keys[name] for name in _OFFLINE.get(role, ("online",))]


@pytest.mark.parametrize("role", ROLES)
def test_metadata_that_the_mirror_wrote_itself(mirror: Mirror, role: str) -> None:
    mirror.forge(role, _evil(mirror, role), [attacker()])
    assert_never_wrong(mirror, noticed=role in ("root", "timestamp"))


@pytest.mark.parametrize("role", ROLES)
def test_metadata_in_place_signed_by_a_stranger(mirror: Mirror, role: str) -> None:
    mirror.forge(role, _nothing, [attacker()])
    assert_never_wrong(mirror, noticed=role != "root")


@pytest.mark.parametrize("role", ROLES)
def test_metadata_without_signatures(mirror: Mirror, role: str) -> None:
    mirror.forge(role, _nothing, [])
    assert_never_wrong(mirror, noticed=role != "root")


@pytest.mark.parametrize("role", ["root", "targets", "bin"])
@pytest.mark.parametrize("duplicate", [False, True], ids=["once", "twice the same"])
def test_fewer_signatures_than_the_threshold(mirror: Mirror, role: str, duplicate: bool) -> None:
    """One offline key is stolen, and the online key with it."""
    mirror.forge(
        role,
        _evil(mirror, role),
        _right(mirror, role)[:1],
        online=mirror.keys["online"],
        duplicate=duplicate,
    )
    assert_never_wrong(mirror, noticed=True)


@pytest.mark.parametrize("role", ["root", "targets", "bin"])
def test_a_stolen_online_key_signs_for_offline_roles(mirror: Mirror, role: str) -> None:
    online = mirror.keys["online"]
    mirror.forge(role, _evil(mirror, role), [online], online=online)
    assert_never_wrong(mirror, noticed=True)


@pytest.mark.parametrize("role", ["targets", "bin"])
def test_root_keys_sign_for_targets(mirror: Mirror, role: str) -> None:
    signers = [mirror.keys[name] for name in ("root1", "root2", "root3")]
    mirror.forge(role, _evil(mirror, role), signers, online=mirror.keys["online"])
    assert_never_wrong(mirror, noticed=True)


@pytest.mark.parametrize("role", ROLES)
def test_frozen_at_metadata_that_expired(mirror: Mirror, role: str) -> None:
    online = mirror.keys["online"] if role in ("targets", "bin") else None
    mirror.forge(role, _expire, _right(mirror, role), online=online)
    if role == "snapshot":
        _point_the_timestamp(mirror)
    assert_never_wrong(mirror, noticed=True)


def _point_the_timestamp(mirror: Mirror) -> None:
    version = int(mirror.file("snapshot").name.partition(".")[0])

    def change(signed: Any) -> None:
        signed.version += 1
        signed.snapshot_meta.version = version

    mirror.forge("timestamp", change, [mirror.keys["online"]])


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "bin"])
def test_rolled_back_to_an_earlier_version(mirror: Mirror, role: str) -> None:
    """The machine has seen the second release; then the first is served again, by somebody with
    the online key."""
    assert mirror.download() == LATER
    online = mirror.keys["online"]
    match role:
        case "timestamp":

            def back(signed: Any) -> None:
                signed.version -= 1

            mirror.forge("timestamp", back, [online])
        case "snapshot":

            def point(signed: Any) -> None:
                signed.version += 1
                signed.snapshot_meta.version -= 1

            mirror.forge("timestamp", point, [online])
        case _:

            def older(signed: Any) -> None:
                signed.version += 1
                signed.meta[f"{mirror.name_of(role)}.json"].version = 1

            mirror.forge("snapshot", older, [online])
            _point_the_timestamp(mirror)
    try:
        assert mirror.download() == LATER
    except RepositoryError:
        assert (mirror.downloads / NAME).read_bytes() == LATER
    else:
        pytest.fail("the client noticed nothing")


@pytest.mark.parametrize("role", ["targets", "bin"])
@pytest.mark.parametrize("other", ["targets", "bin", "snapshot", "root"])
def test_one_role_in_the_place_of_another(mirror: Mirror, role: str, other: str) -> None:
    if role != other:
        mirror.file(role).write_bytes(mirror.file(other).read_bytes())
        assert_never_wrong(mirror, noticed=True)
    else:
        assert mirror.download() == LATER


@pytest.mark.parametrize("role", ["targets", "bin"])
def test_files_of_two_releases_mixed(mirror: Mirror, role: str) -> None:
    name = mirror.name_of(role)
    older = mirror.metadata / f"1.{name}.json"
    assert older != mirror.file(role)
    mirror.file(role).write_bytes(older.read_bytes())
    assert_never_wrong(mirror, noticed=True)


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "bin"])
@pytest.mark.parametrize("size", [1 << 20, 8 << 20])
def test_endless_metadata(mirror: Mirror, role: str, size: int) -> None:
    mirror.file(role).write_bytes(mirror.file(role).read_bytes() + b" " * size)
    assert_never_wrong(mirror, noticed=True)


def test_an_endless_root(mirror: Mirror) -> None:
    (mirror.metadata / "2.root.json").write_bytes(b" " * (1 << 20))
    assert_never_wrong(mirror, noticed=True)


@pytest.mark.parametrize(
    "content",
    [EVIL, LATER + b"!", LATER[:-1], b"", LATER.replace(b"l", b"L"), b"x" * (1 << 20)],
    ids=["evil", "longer", "shorter", "empty", "same length", "endless"],
)
def test_another_file_in_the_place_of_a_target(mirror: Mirror, content: bytes) -> None:
    for path in (mirror.folder / "targets").iterdir():
        path.write_bytes(content)
    assert_never_wrong(mirror, noticed=True)


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "bin"])
@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"<html>no</html>", b"[" * 50_000]
)
def test_rubbish(mirror: Mirror, role: str, content: bytes) -> None:
    mirror.file(role).write_bytes(content)
    assert_never_wrong(mirror, noticed=True)


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "bin"])
def test_a_file_that_is_withheld(mirror: Mirror, role: str) -> None:
    mirror.file(role).unlink()
    assert_never_wrong(mirror, noticed=True)


@pytest.mark.parametrize("role", ["timestamp", "snapshot"])
def test_fast_forward_with_a_stolen_online_key_is_undone_by_rotation(
    mirror: Mirror, role: str
) -> None:
    def ahead(signed: Any) -> None:
        signed.version = 1_000_000

    mirror.forge(role, ahead, [mirror.keys["online"]])
    if role == "snapshot":
        _point_the_timestamp(mirror)
    assert_never_wrong(mirror, noticed=False)
    _rotate_online(mirror)
    assert mirror.download() == LATER


def _rotate_online(mirror: Mirror) -> None:
    """The publishers replace the stolen key and begin anew with snapshot and timestamp."""
    from hotmend.release.repository.publisher import Keys

    fresh = attacker()
    publics = {name: signer.public_key for name, signer in mirror.keys.items()}
    wanted = Keys(
        (publics["root1"], publics["root2"], publics["root3"]),
        2,
        (publics["targets1"], publics["targets2"]),
        2,
        fresh.public_key,
    )
    now = datetime.now(UTC)
    for path in mirror.metadata.glob("1000000.snapshot.json"):
        path.unlink()
    (mirror.metadata / "timestamp.json").unlink()
    mirror.repository.rotate(wanted, now)
    mirror.keys = mirror.keys | {"online": fresh}
    mirror.sign_and_publish(now)


def test_a_delegation_that_the_client_was_not_to_follow(mirror: Mirror) -> None:
    """A diamond: two delegations to one role. One stolen targets key is not enough for it."""

    def diamond(signed: Any) -> None:
        signed.version += 1
        roles = signed.delegations.succinct_roles
        roles.keyids = roles.keyids[:1] * 2
        roles.threshold = 1

    mirror.forge("targets", diamond, _right(mirror, "targets")[:1], online=mirror.keys["online"])
    assert_never_wrong(mirror, noticed=True)


def test_a_role_that_two_others_delegate_to(mirror: Mirror) -> None:
    """A diamond, and all signatures are right: through ``careless``, for other files, the shared
    role's key is a stranger's; for our file only ``careful`` counts, with keys of the publishers.
    What was verified by the one way must not be believed by the other."""
    stranger = attacker()
    target = mirror.plant()
    online, careful = mirror.keys["online"], _right(mirror, "targets")
    ways = {
        "careful": ([signer.public_key for signer in careful], [NAME], careful),
        "careless": ([stranger.public_key], ["other.*"], careful[:1]),
    }
    _delegate(mirror, "targets", [(way, keys[:1], paths) for way, (keys, paths, _) in ways.items()])
    for way, (keys, paths, signers) in ways.items():
        made = Metadata(Targets(expires=_LATER))
        made.signed.delegations = _delegations([("shared", keys, paths)])
        for signer in [stranger] if way == "careless" else signers:
            made.sign(signer, append=True)
        (mirror.metadata / f"1.{way}.json").write_bytes(made.to_bytes())
    shared = Metadata(Targets(expires=_LATER))
    shared.signed.targets = {NAME: target, "other.bin": TargetFile(3, {"sha256": "00" * 32}, "o")}
    shared.sign(stranger)
    (mirror.metadata / "1.shared.json").write_bytes(shared.to_bytes())
    _index(mirror, online, [*ways, "shared"])
    view = client.View(mirror.place)
    with pytest.raises(RepositoryError, match="404"):  # the stranger's file is found, by its way
        view.download("other.bin", mirror.downloads)
    with pytest.raises(RepositoryError, match="Unsigned"):
        view.download(NAME, mirror.downloads)
    assert_never_wrong(mirror, noticed=True)


_LATER = datetime.now(UTC) + timedelta(days=9)
_Roles = list[tuple[str, list[Key], list[str]]]


def _delegations(roles: _Roles) -> Delegations:
    made = {
        name: DelegatedRole(name, [key.keyid for key in keys], len(keys), False, paths)
        for name, keys, paths in roles
    }
    return Delegations({k.keyid: k for _, keys, _ in roles for k in keys}, roles=made)


def _delegate(mirror: Mirror, role: str, roles: _Roles) -> None:
    def change(signed: Any) -> None:
        signed.version += 1
        signed.delegations = _delegations(roles)

    mirror.forge(role, change, _right(mirror, role))


def _index(mirror: Mirror, online: Signer, names: list[str]) -> None:
    """A snapshot that knows these roles, too, and a timestamp for it."""
    version = int(mirror.file("targets").name.partition(".")[0])

    def change(signed: Any) -> None:
        signed.version += 1
        signed.meta["targets.json"] = MetaFile(version)
        signed.meta |= {f"{name}.json": MetaFile(1) for name in names}

    mirror.forge("snapshot", change, [online])
    _point_the_timestamp(mirror)


@pytest.mark.parametrize("name", ["../../escape", "/etc/escape", "a/../../b", "..", "no such"])
def test_a_target_that_is_named_like_a_path(mirror: Mirror, name: str, tmp_path: Path) -> None:
    with pytest.raises(RepositoryError):
        client.download(mirror.place, name, tmp_path / "into")
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


@pytest.mark.parametrize("role", ["timestamp", "bin"])
def test_a_byte_at_a_time(mirror: Mirror, role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow retrieval: never so long silent that a socket would time out."""
    name = mirror.file(role).name
    with dripping(mirror.folder, name, pause_s=0.05) as url, monkeypatch.context() as hasty:
        hasty.setattr(client, "_PATIENCE_S", 0.3)
        mirror.place = Place(mirror.place.metadata, f"{url}/metadata/", f"{url}/targets/")
        began = time.monotonic()
        assert_never_wrong(mirror, noticed=True)
        assert time.monotonic() - began < 5
    with dripping(mirror.folder, "no such file", pause_s=0.05) as url:
        mirror.place = Place(mirror.place.metadata, f"{url}/metadata/", f"{url}/targets/")
        assert mirror.download() == LATER, "the control"


def test_staleness_is_an_alarm_after_two_polls(mirror: Mirror) -> None:
    assert not client.poll(mirror.place).problem
    mirror.forge("timestamp", _expire, [mirror.keys["online"]])
    first, second = client.poll(mirror.place), client.poll(mirror.place)
    assert "expired" in first.problem and not first.alarm
    assert second.alarm
    mirror.repository.renew(mirror.keys["online"], datetime.now(UTC))
    assert client.poll(mirror.place) == client.Poll("", 0)
