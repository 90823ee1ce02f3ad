"""The machine's end: python-tuf refreshes metadata and fetches targets, under caps of ours.

An attacker who has the mirror, the network or the online keys can only deny, and denial is
noticed: what expires and is not renewed is an alarm after two polls.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import urllib3
from tuf.api.exceptions import DownloadError, DownloadHTTPError, ExpiredMetadataError
from tuf.api.exceptions import RepositoryError as TufError
from tuf.api.metadata import Metadata, Root
from tuf.api.serialization import DeserializationError
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from hotmend.release.errors import RepositoryError

# Far below the library's defaults. A snapshot of 1,024 bins has about 50 kB; a bin of 100,000
# targets spread over 1,024 has about 30 kB.
CAPS = UpdaterConfig(
    max_root_rotations=64,
    max_delegations=4,
    root_max_length=64 << 10,
    timestamp_max_length=4 << 10,
    snapshot_max_length=256 << 10,
    targets_max_length=512 << 10,
    app_user_agent="hotmend",
)
MAX_TARGET = 128 << 20
POLLS_TO_ALARM = 2
_PATIENCE_S = 30.0


@dataclass(frozen=True)
class Place:
    """``metadata``: the folder of trusted metadata; ``metadata_url``, ``targets_url``: where the
    repository's are served; ``authority``: who signs the server's certificate, None for the
    system's authorities."""

    metadata: Path
    metadata_url: str
    targets_url: str = ""
    authority: Path | None = None


@dataclass(frozen=True)
class Poll:
    """How a refresh went. ``problem``: "" when it is well; ``failures``: in a row; ``alarm``:
    somebody must look."""

    problem: str
    failures: int

    @property
    def alarm(self) -> bool:
        return self.failures >= POLLS_TO_ALARM


def trust(metadata: Path, root: Path) -> None:
    """Begin with a root that was received in a trusted way. Raises RepositoryError."""
    try:
        metadata.mkdir(parents=True, exist_ok=True)
        data = root.read_bytes()
        _checked_root(data, root.name)
        (metadata / "root.json").write_bytes(data)
    except OSError as error:
        raise RepositoryError(f"{error.filename}: {error.strerror}") from None


def refresh(place: Place) -> None:
    """Bring the trusted metadata up to date. Raises RepositoryError."""
    _updated(place)


def poll(place: Place) -> Poll:
    """Refresh, and count failures in a row beside the metadata. Raises RepositoryError where
    nothing is trusted yet."""
    _trusted(place)
    state = place.metadata / "polls.json"
    try:
        before = int(json.loads(state.read_text())["failures"])
    except (OSError, ValueError, KeyError, TypeError):
        before = 0
    try:
        refresh(place)
        result = Poll("", 0)
    except RepositoryError as error:
        result = Poll(str(error), before + 1)
    state.write_text(json.dumps({"failures": result.failures, "problem": result.problem}))
    return result


def download(place: Place, name: str, folder: Path) -> Path:
    """Fetch a target into ``folder`` and verify it; its path. Raises RepositoryError."""
    updater = _updated(place)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        target = updater.get_targetinfo(name)
        if target is None:
            raise RepositoryError(f"the repository has no {name}")
        if target.length > MAX_TARGET:
            raise RepositoryError(f"{name} has {target.length:,} bytes; more than is fetched")
        # Below a name of its own: what a target is called is the publisher's word, not a path.
        path = folder / Path(name).name
        found = updater.find_cached_target(target, str(path))
        return Path(found or updater.download_target(target, str(path), place.targets_url))
    except (DownloadError, TufError, OSError, ValueError) as error:
        raise RepositoryError(_sentence(error, name)) from None


def _updated(place: Place) -> Updater:
    _trusted(place)
    try:
        updater = Updater(
            str(place.metadata),
            place.metadata_url,
            target_base_url=place.targets_url or None,
            fetcher=_Fetcher(place.authority) if place.authority is not None else None,
            config=CAPS,
            bootstrap=None,
        )
        updater.refresh()
    except (DownloadError, TufError, OSError, ValueError) as error:
        raise RepositoryError(_sentence(error, "the metadata")) from None
    return updater


class _Fetcher(FetcherInterface):
    """Over TLS, from a server with an authority of its own."""

    def __init__(self, authority: Path) -> None:
        self._pool = urllib3.PoolManager(ca_certs=str(authority), retries=False)

    def _fetch(self, url: str) -> Iterator[bytes]:
        response = self._pool.request(
            "GET", url, preload_content=False, redirect=False, timeout=_PATIENCE_S
        )
        if response.status != 200:
            response.close()
            raise DownloadHTTPError(f"{url}: status {response.status}", response.status)
        return response.stream(1 << 16)


def _trusted(place: Place) -> None:
    if not (place.metadata / "root.json").exists():
        raise RepositoryError(
            f"{place.metadata} trusts no root yet: hotmend repo init ROOT, with a root.json that "
            "you received in a trusted way"
        )


def _checked_root(data: bytes, name: str) -> None:
    try:
        metadata = Metadata[Root].from_bytes(data)
        metadata.signed.verify_delegate("root", metadata.signed_bytes, metadata.signatures)
    except (TufError, DeserializationError, AttributeError) as error:
        raise RepositoryError(f"{name} is not a root that signs for itself: {error}") from None


def _sentence(error: Exception, what: str) -> str:
    if isinstance(error, ExpiredMetadataError):
        return f"{what} has expired and was not renewed ({error}): a frozen or abandoned mirror"
    return f"{what} cannot be trusted or fetched: {type(error).__name__}: {error}"
