"""A control plane on TLS, on SQLite and on PostgreSQL, and clients of it."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
import sqlalchemy
import urllib3
import uvicorn

from hotmend.demo.story import folder_for_all
from hotmend.server import tls
from hotmend.server.app import app
from hotmend.server.control import Control, prepared
from hotmend.server.folder import DataFolder
from hotmend.server.identity import principals
from hotmend.server.identity.oidc import ProviderSettings
from hotmend.server.identity.roles import Role
from hotmend.server.serve import LONGEST_IDLE_S
from server import postgres

T = TypeVar("T")
_LONGEST_S = 60.0


def finished(work: Coroutine[Any, Any, T]) -> T:
    """What becomes of ``work``, in a thread of its own: in this one Playwright's loop may run."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, asyncio.wait_for(work, _LONGEST_S)).result()


class Clock:
    """The real time, moved; or one that stands."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.stands: float | None = None

    def __call__(self) -> float:
        return (time.time() if self.stands is None else self.stands) + self.ahead


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    """What a server is made of, on SQLite, without the server."""
    folder = DataFolder.opened(tmp_path / "data", ["localhost"])
    made = prepared(folder, "https://localhost:1", "", Clock())
    yield made
    made.database.close()


@dataclass
class Answer:
    status: int
    headers: Any
    body: Any


@dataclass
class Plane:
    """A running control plane. ``token``: the admin's, for calls without an SDK."""

    control: Control
    clock: Clock
    client: str
    secret: str
    pool: urllib3.PoolManager
    token: str = ""
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def base(self) -> str:
        return self.control.base_url

    @property
    def subscription(self) -> str:
        return self.control.folder.subscription

    @property
    def authority(self) -> Path:
        return self.control.folder.path / "ca.pem"

    def call(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, **headers: str
    ) -> Answer:
        """One request; the path below the subscription when it does not begin with a slash."""
        url = self.base + (
            path if path.startswith("/") else f"/subscriptions/{self.subscription}/{path}"
        )
        sent = {"Authorization": f"Bearer {self.token if token is None else token}", **headers}
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        answer = self.pool.request(method, url, body=data, headers=sent)
        parsed = None
        if answer.data:
            parsed = json.loads(answer.data)
        return Answer(answer.status, answer.headers, parsed)

    def token_for(self, role: Role, scope: str = "/") -> str:
        """Of a principal with that role alone."""
        name = f"{role} {scope}"
        if name not in self.tokens:
            made, _ = self.control.database.write(
                lambda c: principals.create(c, name, role, scope, time.time())
            )
            self.tokens[name] = self.control.tokens.issue(made, self.clock())
        return self.tokens[name]


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    if postgres.programs() is None:
        pytest.skip("there is no PostgreSQL: apt-get install postgresql")
    # Not pytest's folder: another session that begins shuts it to PostgreSQL's user.
    with folder_for_all(False) as folder, postgres.running(folder / "cluster") as url:
        yield url


# What takes minutes on either database; by default it runs on the embedded one.
_SLOW = ("test_az", "test_schemathesis")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("HOTMEND_FULL"):
        return
    for item in items:
        if item.path.stem in _SLOW and "postgresql" in item.name:
            item.add_marker(pytest.mark.skip(reason="on PostgreSQL with --full"))


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh database; "" for the embedded one."""
    if request.param == "sqlite":
        return ""
    return new_database(request.getfixturevalue("cluster"))


def new_database(cluster: str) -> str:
    name = f"d{secrets.token_hex(6)}"
    engine = sqlalchemy.create_engine(cluster, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return cluster.replace("/postgres?", f"/{name}?")


@pytest.fixture(scope="session")
def plane(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    with serving(tmp_path_factory.mktemp("plane"), database_url) as made:
        yield made


@pytest.fixture(scope="module")
def trusted(plane: Plane) -> Iterator[None]:
    """What the SDKs' own clients trust."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQUESTS_CA_BUNDLE", str(plane.authority))
        yield


def listening() -> socket.socket:
    """On a port that nobody else gets."""
    # With its protocol named: asyncio takes no other for TCP, and lets small answers wait.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    return listener


@contextmanager
def serving(
    folder: Path,
    database_url: str = "",
    listener: socket.socket | None = None,
    elsewhere: ProviderSettings | None = None,
) -> Iterator[Plane]:
    """In a thread of this process, on TLS; on a port of its own where there is no ``listener``."""
    listener = listener or listening()
    port = listener.getsockname()[1]
    data = DataFolder.opened(folder / "data", ["localhost", "127.0.0.1"])
    clock = Clock()
    control = prepared(data, f"https://localhost:{port}", database_url, clock, elsewhere)
    client, secret = control.database.write(
        lambda c: principals.create(c, "admin", Role.ADMIN, "/", time.time())
    )

    def context(*_: Any) -> ssl.SSLContext:
        return tls.context(
            data.path / "server.pem", data.path / "server-key.pem", data.path / "ca.pem"
        )

    server = uvicorn.Server(
        uvicorn.Config(
            app(control),
            http=tls.PeerProtocol,
            ws="none",
            lifespan="on",
            log_level="warning",
            access_log=False,
            timeout_keep_alive=LONGEST_IDLE_S,
            timeout_graceful_shutdown=1,
            ssl_context_factory=context,
        )
    )
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    pool = urllib3.PoolManager(ca_certs=str(data.path / "ca.pem"), retries=False, maxsize=16)
    made = Plane(control, clock, client, secret, pool)
    made.token = control.tokens.issue(client, clock())
    try:
        yield made
    finally:
        pool.clear()
        server.should_exit = True
        thread.join(timeout=20)
        control.database.close()
