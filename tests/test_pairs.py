from __future__ import annotations

import dataclasses
import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hotmend import pairs

CONTENT = b"a released build"
PACKAGE = pairs.Package(
    "hotmend-no-such-package",
    "1.0-1",
    hashlib.sha256(CONTENT).hexdigest(),
    hashlib.sha1(CONTENT).hexdigest(),
)


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HOTMEND_PAIRS", raising=False)


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[str]:
    """A snapshot archive on loopback that holds one file under its SHA-1."""
    folder = tmp_path / "archive"
    folder.mkdir()
    (folder / PACKAGE.sha1).write_bytes(CONTENT)
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_package_in_the_named_folder_is_used_where_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOTMEND_PAIRS", str(tmp_path))
    (tmp_path / PACKAGE.file_name).write_bytes(CONTENT)
    assert pairs.find(PACKAGE) == tmp_path / PACKAGE.file_name


def test_a_package_with_other_content_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOTMEND_PAIRS", str(tmp_path))
    (tmp_path / PACKAGE.file_name).write_bytes(CONTENT + b"!")
    with pytest.raises(pairs.PackageMissing, match="SHA-256"):
        pairs.find(PACKAGE)


def test_what_apt_does_not_have_comes_from_the_archive_and_is_kept(archive: str) -> None:
    found = pairs.find(PACKAGE, snapshot=archive)
    assert found.read_bytes() == CONTENT
    assert pairs.find(PACKAGE, snapshot="http://127.0.0.1:9") == found


def test_an_archive_that_answers_something_else_is_not_believed(archive: str) -> None:
    other = dataclasses.replace(PACKAGE, sha256="0" * 64)
    with pytest.raises(pairs.PackageMissing, match="not the released"):
        pairs.find(other, snapshot=archive)
    assert pairs.find(PACKAGE, snapshot=archive).exists()


def test_a_package_that_cannot_be_had_says_what_to_do() -> None:
    with pytest.raises(pairs.PackageMissing, match="set HOTMEND_PAIRS"):
        pairs.find(PACKAGE, snapshot="http://127.0.0.1:9")


def test_every_pair_is_two_versions_of_one_package() -> None:
    for pair in pairs.PAIRS.values():
        assert pair.old.name == pair.new.name
        assert pair.old.sha256 != pair.new.sha256
