"""The agent and a real signed repository: what it reads, keeps, notices; how soon keys change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.fakes import FakeMachine
from agent.hostile import BEGAN, NEWER, OLDER, POLICY, ControlPlane, Signed, publish
from agent.test_agent import ended
from hotmend.agent import channel
from hotmend.agent.agent import REFRESH_EVERY_S
from hotmend.model.agent_messages import Run, RunKind, RunStatus
from hotmend.model.refusal import Refusal, RefusalCode
from hotmend.release import draft, policy
from hotmend.release.classification import Classification
from hotmend.release.draft import Draft
from hotmend.release.parity import Update
from hotmend.release.release import Month
from hotmend.release.repository import client
from hotmend.release.repository.client import Place
from hotmend.release.repository.publisher import Keys
from release.mirror import Mirror, attacker, begin, serving


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Signed:
    return publish(tmp_path_factory.mktemp("publishers"))


@pytest.fixture
def plane(signed: Signed) -> Iterator[ControlPlane]:
    with ControlPlane(signed.folder).serving() as served:
        yield served


@pytest.fixture
def place(signed: Signed, plane: ControlPlane, tmp_path: Path) -> Place:
    metadata, targets = (f"{plane.url}/repository/{name}/" for name in ("metadata", "targets"))
    client.trust(tmp_path / "trusted", signed.root)
    return Place(tmp_path / "trusted", metadata, targets)


def test_a_release_is_as_old_as_its_publishers_signed(place: Place, tmp_path: Path) -> None:
    looked = channel.look(place, [OLDER, NEWER], tmp_path)
    ages = {one.update.package: one.released for one in looked.available}
    assert ages["lib2026-11"] == BEGAN and ages["lib2026-10"] == BEGAN - timedelta(days=10)
    assert not looked.problems


def test_a_release_that_nobody_signed_is_named_with_its_code(place: Place, tmp_path: Path) -> None:
    looked = channel.look(place, [OLDER, "2027-01.release.json"], tmp_path)
    assert len(looked.available) == 1
    (problem,) = looked.problems
    assert problem == "not-released: the repository has no 2027-01.release.json"
    assert looked.whole == {OLDER}


def test_a_release_without_one_of_its_hotpatches_is_not_whole(
    signed: Signed, place: Place, plane: ControlPlane, tmp_path: Path
) -> None:
    assert channel.look(place, [OLDER, NEWER], tmp_path / "control").whole == {OLDER, NEWER}
    lost = signed.digests[OLDER]
    plane.mischief = lambda data: None if hashlib.sha256(data).hexdigest() == lost else data
    looked = channel.look(place, [OLDER, NEWER], tmp_path / "downloads")
    assert looked.whole == {NEWER} and len(looked.problems) == 1


def test_a_policy_once_read_stays_when_the_repository_is_away(
    place: Place, plane: ControlPlane, tmp_path: Path
) -> None:
    downloads = tmp_path / "downloads"
    plane.mischief = lambda data: None
    unread = channel.rules(place, downloads)
    assert isinstance(unread, Refusal) and unread.code is RefusalCode.POLICY_UNREADABLE
    plane.mischief = lambda data: data
    known = policy.parse(json.dumps(POLICY))
    assert channel.rules(place, downloads) == known
    plane.mischief = lambda data: None
    assert channel.rules(place, downloads) == known


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    """A repository without a policy."""
    folder = tmp_path / "vendor"
    folder.mkdir()
    signers = begin(folder)
    with serving(folder) as url:
        metadata, targets = (f"{url}/repository/{name}/" for name in ("metadata", "targets"))
        found = Mirror(
            folder / "repository",
            signers,
            Place(tmp_path / "trusted", metadata, targets),
            tmp_path / "into",
        )
        client.trust(found.place.metadata, found.metadata / "1.root.json")
        yield found


def test_a_repository_without_a_policy_has_none_and_one_that_lost_it_still_has(
    mirror: Mirror, tmp_path: Path
) -> None:
    downloads = tmp_path / "downloads"
    assert channel.rules(mirror.place, downloads) is None
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(POLICY))
    now = datetime.now(UTC)
    mirror.repository.add([file], now)
    mirror.sign_and_publish(now)
    assert channel.rules(mirror.place, downloads) == policy.parse(json.dumps(POLICY))
    mirror.repository.remove(["policy.json"], now)
    mirror.sign_and_publish(now)
    assert channel.rules(mirror.place, downloads) == policy.parse(json.dumps(POLICY))
    assert channel.rules(mirror.place, tmp_path / "another machine") is None


def test_of_one_month_the_release_that_was_published_last_counts(
    mirror: Mirror, tmp_path: Path
) -> None:
    """By its publishers' word, not by its name."""
    now = datetime.now(UTC)
    names = ("2026-11.release.json", "2026-11-unplanned.release.json")
    assert sorted(names)[-1] == names[0], "the name says otherwise"
    for age, (name, version) in enumerate(zip(names, "23", strict=True)):
        update = Update("nginx", "1", version, Classification.SECURITY, ("CVE-1",), True)
        file = tmp_path / name
        file.write_text(draft.encode(Draft(name, Month.parse("2026-11"), (update,))))
        mirror.repository.add([file], now + timedelta(seconds=age), gaps="a test")
    mirror.sign_and_publish(now)
    for order in (names, names[::-1]):
        (found,) = channel.look(mirror.place, order, tmp_path / "downloads").available
        assert found.update.new_version == "3"


def _machine(mirror: Mirror, folder: Path) -> FakeMachine:
    """Whose repository is the real one."""
    machine = FakeMachine(folder)
    machine.around.refresh = lambda: client.poll(mirror.place)  # type: ignore[method-assign]
    return machine


def test_stale_metadata_is_reported_after_two_polls_and_again_when_it_is_well(
    mirror: Mirror, tmp_path: Path
) -> None:
    machine = _machine(mirror, tmp_path)
    agent = machine.agent()
    machine.settle(agent)
    assert _assessments(machine) == [(RunStatus.SUCCEEDED, "")]
    mirror.repository.renew(mirror.keys["online"], datetime.now(UTC) - timedelta(days=3))
    machine.now += REFRESH_EVERY_S
    machine.settle(agent)
    assert len(_assessments(machine)) == 1, "one poll that failed may be chance"
    machine.now += REFRESH_EVERY_S
    machine.settle(agent)
    status, problem = _assessments(machine)[-1]
    assert status is RunStatus.COMPLETED_WITH_WARNINGS
    assert problem.startswith("alarm, 2 times in a row: ") and "expired" in problem
    machine.now += REFRESH_EVERY_S
    machine.settle(agent)
    assert len(_assessments(machine)) == 2, "said once"
    mirror.repository.renew(mirror.keys["online"], datetime.now(UTC))
    machine.now += REFRESH_EVERY_S
    machine.settle(agent)
    assert _assessments(machine)[2:] == [(RunStatus.SUCCEEDED, "")]


def _assessments(machine: FakeMachine) -> list[tuple[RunStatus, str]]:
    runs: list[Run] = ended(machine, RunKind.ASSESS)
    return [(run.status, run.problem) for run in runs]


def test_rotated_keys_reach_the_agent_with_its_next_poll(mirror: Mirror, tmp_path: Path) -> None:
    machine = _machine(mirror, tmp_path)
    agent = machine.agent()
    machine.settle(agent)
    thieves = [mirror.keys["targets1"], mirror.keys["targets2"]]
    fresh = {name: attacker() for name in ("targets1", "targets2", "online")}
    mirror.keys = mirror.keys | fresh
    publics = {name: signer.public_key for name, signer in mirror.keys.items()}
    roots = (publics["root1"], publics["root2"], publics["root3"])
    wanted = Keys(roots, 2, (publics["targets1"], publics["targets2"]), 2, publics["online"])
    now = datetime.now(UTC)
    mirror.repository.rotate(wanted, now)
    mirror.sign_and_publish(now)
    trusted = mirror.place.metadata / "root.json"
    assert json.loads(trusted.read_text())["signed"]["version"] == 1
    machine.now += REFRESH_EVERY_S
    machine.settle(agent)
    assert json.loads(trusted.read_text())["signed"]["version"] == 2
    looked = channel.look(mirror.place, ["nginx.bin"], tmp_path / "downloads")
    assert "is not a release's draft" in looked.problems[0], "the control: it is fetched"
    # Who has both old keys of the targets, and the new online key, installs nothing any more.
    mirror.forge(
        "bin",
        lambda signed: setattr(signed, "version", signed.version + 1),
        thieves,
        online=mirror.keys["online"],
    )
    looked = channel.look(mirror.place, ["nginx.bin"], tmp_path / "downloads")
    assert not looked.available and "cannot be trusted" in looked.problems[0]
