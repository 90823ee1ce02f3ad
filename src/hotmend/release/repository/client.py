"""The machine's end: python-tuf refreshes metadata and fetches targets, under caps of ours.

An attacker who has the mirror, the network or the online keys can only deny, and denial is
noticed: what expires and is not renewed is an alarm after two polls.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    ExpiredMetadataError,
    SlowRetrievalError,
)
from tuf.api.exceptions import RepositoryError as TufError
from tuf.api.metadata import Metadata, Root
from tuf.api.serialization import DeserializationError
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from hotmend.release.errors import NotReleased, RepositoryError
from hotmend.release.repository import custom

_NAME = "hotmend"
# Far below the library's defaults. A snapshot of 1,024 bins has about 50 kB; a bin of 100,000
# targets spread over 1,024 has about 30 kB.
CAPS = UpdaterConfig(
    max_root_rotations=64,
    max_delegations=4,
    root_max_length=64 << 10,
    timestamp_max_length=4 << 10,
    snapshot_max_length=256 << 10,
    targets_max_length=512 << 10,
)
MAX_TARGET = 128 << 20
POLLS_TO_ALARM = 2
# How long nothing may come, and what must come in a second on average after that.
_PATIENCE_S = 30.0
_SLOWEST = 16 << 10


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


@dataclass(frozen=True)
class Downloaded:
    """A verified target. ``released``: when it was published, as its publishers signed; None
    where they did not say."""

    path: Path
    released: datetime | None


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
    try:
        state.write_text(json.dumps({"failures": result.failures, "problem": result.problem}))
    except OSError as error:
        return Poll(f"{state} cannot be written: {error.strerror}", before + 1)
    return result


class View:
    """The repository as its metadata is now: everything fetched through one view is of one
    snapshot. Everything raises RepositoryError."""

    def __init__(self, place: Place) -> None:
        self._updater = _updated(place)
        self._targets_url = place.targets_url

    def download(self, name: str, folder: Path) -> Downloaded:
        """Fetch a target into ``folder`` and verify it. Raises NotReleased, too."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            target = self._updater.get_targetinfo(name)
            if target is None:
                raise NotReleased(f"the repository has no {name}")
            if target.length > MAX_TARGET:
                raise RepositoryError(f"{name} has {target.length:,} bytes; more than is fetched")
            # Below a name of its own: what a target is called is the publisher's word, not a path.
            path = str(folder / Path(name).name)
            found = self._updater.find_cached_target(target, path)
            found = found or self._updater.download_target(target, path, self._targets_url)
            return Downloaded(Path(found), custom.released(target))
        except (DownloadError, TufError, OSError, ValueError) as error:
            raise RepositoryError(_sentence(error, name)) from None


def download(place: Place, name: str, folder: Path) -> Downloaded:
    """One target through a view of its own. Raises NotReleased, RepositoryError."""
    return View(place).download(name, folder)


def _updated(place: Place) -> Updater:
    _trusted(place)
    try:
        updater = Updater(
            str(place.metadata),
            place.metadata_url,
            target_base_url=place.targets_url or None,
            fetcher=_Fetcher(place),
            config=CAPS,
            bootstrap=None,
        )
        updater.refresh()
    except (DownloadError, TufError, OSError, ValueError) as error:
        raise RepositoryError(_sentence(error, "the metadata")) from None
    return updater


class _Fetcher(FetcherInterface):
    """A server that answers a byte at a time, so as never to be late, is given up."""

    def __init__(self, place: Place) -> None:
        self._pool = _pool(place)

    def _fetch(self, url: str) -> Iterator[bytes]:
        began = time.monotonic()
        response = self._pool.request(
            "GET", url, preload_content=False, redirect=False, timeout=_PATIENCE_S
        )
        if response.status != 200:
            response.close()
            raise DownloadHTTPError(f"{url}: status {response.status}", response.status)
        return _in_time(response, url, began)


def _in_time(response: BaseHTTPResponse, url: str, began: float) -> Iterator[bytes]:
    received = 0
    try:
        while data := response.read1(1 << 16):
            received += len(data)
            if time.monotonic() - began > _PATIENCE_S + received / _SLOWEST:
                raise SlowRetrievalError(f"{url}: {received} bytes in {_PATIENCE_S:.0f} seconds")
            yield data
    except HTTPError as error:
        raise DownloadError(f"{url} broke off: {error}") from None
    finally:
        response.close()


def _pool(place: Place) -> urllib3.PoolManager:
    """Straight to a server with an authority of its own; else as the environment's proxies say."""
    agent = {"User-Agent": _NAME}
    if place.authority is not None:
        return urllib3.PoolManager(ca_certs=str(place.authority), retries=False, headers=agent)
    url = urlsplit(place.metadata_url)
    proxy = None if proxy_bypass(url.hostname or "") else getproxies().get(url.scheme)
    if proxy is not None:
        return urllib3.ProxyManager(proxy, retries=False, headers=agent)
    return urllib3.PoolManager(retries=False, headers=agent)


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
