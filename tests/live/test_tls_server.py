"""A serving TLS server on the old libssl and libcrypto: handshakes all the while."""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hotmend.demo.command import Hotmend
from live.tls_server import LIBRARIES, VERSIONS, TlsServer, handshake

Patch = Callable[..., list[dict[str, Any]]]


@contextmanager
def visitors(server: TlsServer) -> Iterator[Counter[tuple[str, bool]]]:
    """Handshakes of both versions, one after the other, without end."""
    seen: Counter[tuple[str, bool]] = Counter()
    stop = threading.Event()

    def visit() -> None:
        while not stop.is_set():
            for version in VERSIONS:
                seen[version.name, handshake(server, version)] += 1

    thread = threading.Thread(target=visit)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def serving(
    unpacked: Callable[[str], Path], tmp_path: Path
) -> Iterator[Callable[[str], TlsServer]]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed (apt-get install openssl)")
    running: list[TlsServer] = []

    def start(key: str) -> TlsServer:
        tree = unpacked(key)
        server = TlsServer(tree, tmp_path)
        running.append(server)
        server.ready()
        for library in ("libssl.so.3", "libcrypto.so.3"):
            assert server.maps(tree / LIBRARIES / library), f"{library} is not the old one"
        return server

    yield start
    for server in running:
        server.stop()


@pytest.mark.parametrize(
    ("key", "images"),
    [
        ("libssl3-17-20", {"libssl.so.3", "libcrypto.so.3"}),
        ("libssl3-20-22", {"libcrypto.so.3"}),
    ],
)
def test_handshakes_succeed_before_during_and_after(
    key: str,
    images: set[str],
    serving: Callable[[str], TlsServer],
    built: Callable[[str], Path],
    patch: Patch,
    machine: Hotmend,
) -> None:
    file = built(key)
    carried = {image["name"] for image in machine.run("inspect", str(file)).data["images"]}
    assert carried >= images
    server = serving(key)
    with visitors(server) as seen:
        pauses = []
        for verb, wanted in (("apply", "applied"), ("revert", "reverted"), ("apply", "applied")):
            time.sleep(0.5)
            pauses += [o["pause_ms"] for o in patch(verb, file, [server.pid], wanted)]
            assert all(handshake(server, version) for version in VERSIONS), f"after {verb}"
        time.sleep(0.5)
    print(f"{key}: {dict(seen)}, pauses {pauses} ms")
    assert all(seen[version.name, True] >= 5 for version in VERSIONS)
    assert all(good for _, good in seen), seen
    rows = machine.run("verify", "--pid", str(server.pid)).data["processes"]
    assert [(row["state"], row["differences"]) for row in rows] == [("applied", [])]


def test_a_server_with_a_wrong_certificate_is_not_taken_for_a_handshake(
    serving: Callable[[str], TlsServer], tmp_path: Path
) -> None:
    server = serving("libssl3-17-20")
    other = tmp_path / "other"
    other.mkdir()
    stranger = TlsServer(server.log.parent, other)
    stranger.stop()
    server.certificate = stranger.certificate
    assert not any(handshake(server, version) for version in VERSIONS)
