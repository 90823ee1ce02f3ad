"""What the repository that is served publishes: what a machine would find there, and no more."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from hotmend.release.errors import NotReleased, RepositoryError
from hotmend.server.repository import ServedRepository
from server.repository import publish

NAME = "2026-11.release.json"


@pytest.fixture
def served(tmp_path: Path) -> ServedRepository:
    publish(tmp_path, {NAME: b"{}", "nginx.hotpatch": b"code"})
    return ServedRepository(tmp_path)


def test_what_is_published_is_named_and_read(served: ServedRepository, tmp_path: Path) -> None:
    assert served.releases() == (NAME,)
    assert (served.read("nginx.hotpatch"), served.text(NAME)) == (b"code", "{}")
    publish(tmp_path, {"2026-12.release.json": b"{}"})
    assert served.releases() == (NAME, "2026-12.release.json")


def test_nothing_is_published_before_its_metadata_is(tmp_path: Path) -> None:
    """As `hotmend repo add` leaves it, before anybody has signed."""
    served = ServedRepository(tmp_path)
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets" / f"0123.{NAME}").write_text("{}")
    assert served.releases() == ()
    with pytest.raises(NotReleased):
        served.read(NAME)
    publish(tmp_path, {NAME: b"{}"})
    assert served.releases() == (NAME,)


def test_what_was_taken_back_is_not_published_any_more(
    served: ServedRepository, tmp_path: Path
) -> None:
    assert served.releases()
    publish(tmp_path, {}, taken_back=NAME)
    assert list((tmp_path / "targets").glob(f"*.{NAME}")), "its file is still there"
    assert served.releases() == ()


def test_a_file_that_is_not_whole_is_not_read(served: ServedRepository, tmp_path: Path) -> None:
    (file,) = (tmp_path / "targets").glob(f"*.{NAME}")
    whole = file.read_bytes()
    file.write_bytes(whole[:1])
    with pytest.raises(RepositoryError, match="not what the repository's metadata says"):
        served.text(NAME)
    file.unlink()
    with pytest.raises(RepositoryError, match="No such file"):
        served.text(NAME)
    file.write_bytes(whole)
    assert served.text(NAME) == "{}"


@pytest.mark.parametrize("name", ["2.snapshot.json", "2.bin.json", "timestamp.json"])
@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_metadata_on_its_way_changes_nothing(
    served: ServedRepository,
    tmp_path: Path,
    name: str,
    damage: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert served.releases() == (NAME,)
    publish(tmp_path, {"2026-12.release.json": b"{}"})
    file = tmp_path / "metadata" / name
    whole = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(whole[:20])
    with caplog.at_level(logging.WARNING, "hotmend.repository"):
        assert served.releases() == served.releases() == (NAME,)
    assert len(caplog.records) == (0 if (damage, name) == ("missing", "timestamp.json") else 1)
    file.write_bytes(whole)
    assert served.releases() == (NAME, "2026-12.release.json")


def test_a_name_is_no_path(served: ServedRepository) -> None:
    for name in ("../metadata/timestamp.json", "nginx.hotpatch/../x", ""):
        with pytest.raises(NotReleased):
            served.read(name)
