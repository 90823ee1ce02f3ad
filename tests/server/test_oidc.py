"""People who log in at an OpenID provider: a real one, a process of its own, over TLS."""

from __future__ import annotations

import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import pytest
import urllib3

import npm
from hotmend.demo.server import free_port
from hotmend.server.folder import DataFolder
from hotmend.server.identity import principals, sessions
from hotmend.server.identity.oidc import ProviderSettings
from server.conftest import Plane, listening, serving

HERE = Path(__file__).with_name("oidc")
SECRET = "a secret of the tests"


@dataclass
class Place:
    """A provider that runs; ``authority``: who vouches for its TLS."""

    url: str
    authority: Path


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("provider")
    for name in ("package.json", "provider.mjs"):
        shutil.copy(HERE / name, folder)
    npm.install(folder)
    return folder


@pytest.fixture(scope="module")
def world(modules: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Plane, Place]]:
    """A control plane whose people log in at a provider."""
    folder = tmp_path_factory.mktemp("world")
    listener = listening()
    tls = DataFolder.opened(folder / "provider", ["localhost"]).path
    process = subprocess.Popen(
        [
            "node",
            "provider.mjs",
            *(str(tls / "server-key.pem"), str(tls / "server.pem")),
            f"https://localhost:{listener.getsockname()[1]}/login/oidc/callback",
        ],
        cwd=modules,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        while "listening" not in (line := process.stdout.readline()):
            assert process.poll() is None
        place = Place(f"https://localhost:{line.split()[-1]}", tls / "ca.pem")
        settings = ProviderSettings(place.url, "hotmend", SECRET, str(place.authority))
        with serving(folder, listener=listener, elsewhere=settings) as plane:
            yield plane, place
    finally:
        process.kill()
        process.wait()


class Browser:
    """Keeps cookies by host, follows no redirect by itself."""

    def __init__(self, *authorities: Path) -> None:
        self._pools = [urllib3.PoolManager(ca_certs=str(a), retries=False) for a in authorities]
        self._authorities: dict[str, urllib3.PoolManager] = {}
        self.cookies: dict[str, dict[str, str]] = {}

    def go(self, url: str, form: dict[str, str] | None = None) -> Any:
        host = urlsplit(url).netloc
        headers = {"Cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.get(host, {}).items())}
        body = None
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode(form)
        answer = self._pool(host, url).request(
            "POST" if form is not None else "GET", url, body=body, headers=headers, redirect=False
        )
        for line in answer.headers.getlist("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies.setdefault(host, {})[name] = value
        return answer

    def follow(self, url: str, stop: str) -> str:
        """Until an address that begins with ``stop``; logs in and consents on the way."""
        for _ in range(20):
            answer = self.go(url)
            if answer.status == 200:
                url, form = self._filled(url, answer.data.decode())
                answer = self.go(url, form)
            assert answer.status in (302, 303), answer.data
            url = urljoin(url, answer.headers["location"])
            if url.startswith(stop):
                return url
        raise AssertionError("round and round")

    def _filled(self, url: str, page: str) -> tuple[str, dict[str, str]]:
        action = re.search(r'<form[^>]*action="([^"]+)"', page)
        prompt = re.search(r'name="prompt" value="(\w+)"', page)
        assert action is not None and prompt is not None, page
        form = {"prompt": prompt[1]}
        if prompt[1] == "login":
            form |= {"login": self.name, "password": "any"}
        return unescape(action[1]), form

    def _pool(self, host: str, url: str) -> urllib3.PoolManager:
        if host not in self._authorities:
            for pool in self._pools:
                try:
                    pool.request("HEAD", url.split("?")[0], redirect=False)
                except urllib3.exceptions.HTTPError:
                    continue
                self._authorities[host] = pool
                break
        return self._authorities[host]

    name = "ann"


def browser(world: tuple[Plane, Place], name: str = "") -> Browser:
    made = Browser(world[0].authority, world[1].authority)
    made.name = name or f"n{uuid.uuid4().hex[:8]}"
    return made


def came_back(world: tuple[Plane, Place], visitor: Browser) -> str:
    """The address with which the provider sends the visitor back; not yet followed."""
    base = world[0].base
    return visitor.follow(f"{base}/login/oidc/", f"{base}/login/oidc/callback")


def session_of(plane: Plane, visitor: Browser) -> sessions.Session | None:
    cookie = visitor.cookies.get(urlsplit(plane.base).netloc, {}).get(sessions.COOKIE, "")
    with plane.control.database.reading() as connection:
        return sessions.found(connection, cookie, plane.clock())


def test_a_person_comes_from_elsewhere_and_is_the_same_again(world: tuple[Plane, Place]) -> None:
    plane, place = world
    seen = set()
    for _ in range(2):
        visitor = browser(world, "ann")
        assert visitor.go(came_back(world, visitor)).status == 303
        session = session_of(plane, visitor)
        assert session is not None
        seen.add(session.principal)
    assert len(seen) == 1
    with plane.control.database.reading() as connection:
        person = principals.known(connection, seen.pop())
    assert person is not None and person.person and person.name == "name of ann"
    assert person.elsewhere == f"{place.url} ann"
    assert person.assignments == (), "an admin gives roles"


def test_state_pkce_and_nonce_are_sent(world: tuple[Plane, Place]) -> None:
    answer = browser(world).go(f"{world[0].base}/login/oidc/")
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert query["code_challenge_method"] == ["S256"] and query["response_type"] == ["code"]
    assert all(len(query[name][0]) >= 20 for name in ("state", "nonce", "code_challenge"))
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "secure" in cookie and "samesite=lax" in cookie


def test_an_answer_is_good_in_the_browser_that_asked_and_once(world: tuple[Plane, Place]) -> None:
    """Or else one could log a victim in as oneself."""
    asked, other = browser(world), browser(world)
    address = came_back(world, asked)
    assert other.go(address).status == 403 and session_of(world[0], other) is None
    came_back(world, other)  # now it has a flow of its own, with another state
    assert other.go(address).status == 403 and session_of(world[0], other) is None
    assert asked.go(address).status == 303
    again = browser(world)
    again.cookies = {host: dict(jar) for host, jar in asked.cookies.items()}
    assert again.go(address).status == 403


def test_another_state_or_code_is_refused(world: tuple[Plane, Place]) -> None:
    for change in (
        lambda address: re.sub(r"state=\w{4}", "state=xxxx", address),
        lambda address: re.sub(r"code=.{4}", "code=xxxx", address),
        lambda address: re.sub(r"code=[^&]*&?", "", address),
        lambda address: address.partition("?")[0] + "?error=access_denied",
    ):
        visitor = browser(world)
        assert visitor.go(change(came_back(world, visitor))).status == 403
        assert session_of(world[0], visitor) is None


def test_anothers_name_is_not_taken_over(world: tuple[Plane, Place]) -> None:
    """Who calls themselves like a person of ours elsewhere is somebody else."""
    plane = world[0]
    plane.control.database.write(
        lambda c: principals.from_elsewhere(c, "https://other.example bob", "name of bob", 1.0)
    )
    visitor = browser(world, "bob")
    assert visitor.go(came_back(world, visitor)).status == 303
    session = session_of(plane, visitor)
    assert session is not None
    with plane.control.database.reading() as connection:
        person = principals.known(connection, session.principal)
    assert person is not None and person.name != "name of bob"


def test_a_provider_that_does_not_answer(tmp_path: Path) -> None:
    gone = ProviderSettings(f"https://localhost:{free_port()}", "hotmend", SECRET)
    with serving(tmp_path, elsewhere=gone) as plane:
        answer = plane.pool.request("GET", f"{plane.base}/login/oidc/", redirect=False)
        assert answer.status == 502 and b"does not answer" in answer.data


def test_another_servers_tls_is_not_believed(world: tuple[Plane, Place], tmp_path: Path) -> None:
    """The positive control is every other test of this page."""
    stranger = DataFolder.opened(tmp_path / "stranger", ["localhost"]).path / "ca.pem"
    settings = ProviderSettings(world[1].url, "hotmend", SECRET, str(stranger))
    with serving(tmp_path, elsewhere=settings) as plane:
        answer = plane.pool.request("GET", f"{plane.base}/login/oidc/", redirect=False)
        assert answer.status == 502
