"""Publishing with thresholds, rotation, tokens: through the commands of the guide."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tuf.api.metadata import DelegatedRole, Delegations

from hotmend.release.errors import RepositoryError
from hotmend.release.repository import client, keys
from hotmend.release.repository.client import Place
from hotmend.release.repository.publisher import Keys, Repository
from release.mirror import GOOD, LATER, NAME, Mirror, attacker, begin, serving
from release.test_policy import TEXT as POLICY

_SOFTHSM = Path("/usr/lib/softhsm/libsofthsm2.so")


def _hotmend(*words: object, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "hotmend.cli.main", *map(str, words)],
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr, done.stderr
    if done.returncode:
        raise RepositoryError(done.stderr)
    return done.stdout


def _begin(folder: Path, root_keys: int = 3, environment: dict[str, str] | None = None) -> Path:
    repository = folder / "repository"
    words: list[object] = ["repo", "begin", repository, "--bits", "1"]
    for name in ("targets1", "targets2", "online"):
        _hotmend("repo", "key", folder / name)
    for number in range(1, root_keys + 1):
        words += ["--root", folder / f"root{number}.pub"]
    words += ["--targets", folder / "targets1.pub", "--targets", folder / "targets2.pub"]
    _hotmend(*words, "--online", folder / "online.pub", environment=environment)
    return repository


def _sign(folder: Path, *names: str, environment: dict[str, str] | None = None) -> None:
    for name in names:
        words = ("repo", "sign", folder / "repository", "--key", folder / f"{name}.pub")
        _hotmend(*words, environment=environment)


def test_a_repository_is_made_signed_published_and_fetched(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        _hotmend("repo", "key", tmp_path / f"root{number}")
    repository = _begin(tmp_path)
    target = tmp_path / NAME
    target.write_bytes(GOOD)
    _hotmend("repo", "add", repository, target)
    publish = ("repo", "publish", repository, "--online", tmp_path / "online.pub")
    _sign(tmp_path, "root1", "targets1", "targets2")
    with pytest.raises(RepositoryError, match="root has 1 of 2 signatures"):
        _hotmend(*publish)
    _sign(tmp_path, "root1")
    with pytest.raises(RepositoryError, match="root has 1 of 2 signatures"):
        _hotmend(*publish)
    _sign(tmp_path, "root3")
    _hotmend(*publish)
    trusted, into = tmp_path / "trusted", tmp_path / "into"
    with serving(repository) as url:
        machine = ("repo", "--metadata-dir", trusted, "--metadata-url", f"{url}/metadata")
        with pytest.raises(RepositoryError, match="hotmend repo init"):
            _hotmend(*machine, "refresh")
        _hotmend(*machine, "init", repository / "metadata" / "1.root.json")
        _hotmend(*machine, "refresh")
        fetch = ("--target-base-url", f"{url}/targets", "--target-dir", into, "--target-name")
        _hotmend(*machine, *fetch, NAME, "download")
        assert (into / NAME).read_bytes() == GOOD
        with pytest.raises(RepositoryError, match="has no other"):
            _hotmend(*machine, *fetch, "other", "download")


def test_private_keys_are_their_owners_alone_and_never_overwritten(tmp_path: Path) -> None:
    made = keys.create(tmp_path / "root1")
    assert (tmp_path / "root1.pem").stat().st_mode & 0o077 == 0
    assert keys.public(tmp_path / "root1.pub").keyid == made.keyid
    before = (tmp_path / "root1.pem").read_bytes()
    with pytest.raises(RepositoryError, match="never overwritten"):
        keys.create(tmp_path / "root1")
    assert (tmp_path / "root1.pem").read_bytes() == before


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"keyid": "a", "keytype": "rsa"}'])
def test_what_is_no_key_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "bad.pub").write_text(content)
    with pytest.raises(RepositoryError, match=r"bad\.pub is not a public key"):
        keys.public(tmp_path / "bad.pub")


def test_a_machine_that_slept_through_a_rotation_recovers(tmp_path: Path) -> None:
    signers = begin(tmp_path)
    with serving(tmp_path) as url:
        place = Place(
            tmp_path / "trusted", f"{url}/repository/metadata/", f"{url}/repository/targets/"
        )
        mirror = Mirror(tmp_path / "repository", signers, place, tmp_path / "into")
        client.trust(place.metadata, mirror.metadata / "1.root.json")
        assert mirror.download() == GOOD
        thief = mirror.keys["targets1"]
        for _ in range(3):  # asleep: three rotations of every kind of key
            mirror.keys = mirror.keys | {
                name: attacker() for name in ("root1", "targets1", "online")
            }
            _rotate(mirror, signers)
        mirror.publish(LATER)
        assert mirror.download() == LATER
        # The revoked key signs for nothing any more.
        mirror.forge(
            "bin",
            lambda signed: setattr(signed, "version", signed.version + 1),
            [thief, mirror.keys["targets2"]],
            online=mirror.keys["online"],
        )
        with pytest.raises(RepositoryError):
            mirror.download()


def _rotate(mirror: Mirror, old: dict[str, object]) -> None:
    publics = {name: signer.public_key for name, signer in mirror.keys.items()}
    now = datetime.now(UTC)
    mirror.repository.rotate(
        Keys(
            (publics["root1"], publics["root2"], publics["root3"]),
            2,
            (publics["targets1"], publics["targets2"]),
            2,
            publics["online"],
        ),
        now,
    )
    mirror.sign_and_publish(now)


def test_a_policy_that_agents_could_not_read_is_not_published(tmp_path: Path) -> None:
    begin(tmp_path)
    repository = Repository(tmp_path / "repository")
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(POLICY | {"windows": [{"opens": "22:00"}]}))
    with pytest.raises(RepositoryError, match=r"policy\.json would stop every agent"):
        repository.add([file], datetime.now(UTC))
    assert not repository.missing(), "nothing is staged"
    file.write_text(json.dumps(POLICY))
    assert repository.add([file], datetime.now(UTC)) == ["policy.json"]


def test_a_release_that_is_none_is_not_published(tmp_path: Path) -> None:
    begin(tmp_path)
    file = tmp_path / "release.json"
    for content in (b"{}", b"\xff", b"[" * 50_000):
        file.write_bytes(content)
        with pytest.raises(RepositoryError, match=r"release\.json"):
            Repository(tmp_path / "repository").add([file], datetime.now(UTC))


@pytest.mark.parametrize("role", ["targets", "bin"])
def test_nobody_signs_a_delegation_by_accident(tmp_path: Path, role: str) -> None:
    """Somebody slipped one into the folder that goes from signer to signer."""
    signers = begin(tmp_path)
    repository = Repository(tmp_path / "repository")
    now = datetime.now(UTC)
    name = repository.bin_of(NAME) if role == "bin" else role
    signed = repository.to_change(name, now)
    key = attacker().public_key
    way = DelegatedRole("way", [key.keyid], 1, False, ["*"])
    signed.delegations = Delegations({key.keyid: key}, roles={"way": way})
    repository.stage(name, signed)
    with pytest.raises(RepositoryError, match="delegates to roles other than the hash bins"):
        repository.sign(signers["targets1"])
    with pytest.raises(RepositoryError, match="delegates to roles other than the hash bins"):
        repository.publish(signers["online"], now)
    (repository.staged / f"{name}.json").unlink()
    repository.extend(now)
    assert repository.sign(signers["targets1"]) == ["targets"], "the control"


def test_thresholds_that_cannot_be_met_are_refused(tmp_path: Path) -> None:
    made = [keys.create(tmp_path / name) for name in ("a", "b")]
    wrong = Keys((made[0],), 2, (made[1],), 1, made[1])
    with pytest.raises(RepositoryError, match="root needs 2 signatures of 1 keys"):
        Repository(tmp_path / "repository").begin(wrong, 1, datetime.now(UTC))


def test_a_snapshot_is_renewed_before_it_expires(tmp_path: Path) -> None:
    signers = begin(tmp_path)
    repository = Repository(tmp_path / "repository")
    now = datetime.now(UTC)
    for day in range(30):
        repository.renew(signers["online"], now + timedelta(days=day))
    snapshot = repository._current("snapshot").signed
    assert snapshot.expires > now + timedelta(days=29)
    assert snapshot.version < 8


@pytest.mark.skipif(
    shutil.which("softhsm2-util") is None or not _SOFTHSM.exists(), reason="there is no SoftHSM"
)
def test_root_is_signed_by_two_of_three_tokens(tmp_path: Path) -> None:
    """The guide (docs/repository.md), word for word."""
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(
        f"directories.tokendir = {tmp_path / 'tokens'}\nobjectstore.backend = file\n"
    )
    environment = {
        "SOFTHSM2_CONF": str(tmp_path / "softhsm2.conf"),
        "PYKCS11LIB": str(_SOFTHSM),
        "HOTMEND_HSM_PIN": "1234",
    }
    for name in ("root1", "root2", "root3"):
        words = ["softhsm2-util", "--init-token", "--free", "--label", name]
        words += ["--pin", "1234", "--so-pin", "5678"]
        subprocess.run(words, env=os.environ | environment, check=True, capture_output=True)
        key = ("repo", "key", tmp_path / name, "--token", name, "--new")
        _hotmend(*key, environment=environment)
        assert not (tmp_path / f"{name}.pem").exists()
    repository = _begin(tmp_path, environment=environment)
    _sign(tmp_path, "targets1", "targets2")
    publish = ("repo", "publish", repository, "--online", tmp_path / "online.pub")
    _sign(tmp_path, "root2", environment=environment)
    with pytest.raises(RepositoryError, match="root has 1 of 2"):
        _hotmend(*publish)
    with pytest.raises(RepositoryError, match="is its token there, and the PIN right"):
        _sign(tmp_path, "root3", environment=environment | {"HOTMEND_HSM_PIN": "0000"})
    _sign(tmp_path, "root3", environment=environment)
    _hotmend(*publish)
    client.trust(tmp_path / "trusted", repository / "metadata" / "1.root.json")
