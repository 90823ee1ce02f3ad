"""A serving TLS server on the old libssl and libcrypto: handshakes all the while."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hotmend.demo.command import Hotmend

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
LIBRARIES = "usr/lib/x86_64-linux-gnu"
Patch = Callable[..., list[dict[str, Any]]]


class TlsServer:
    """openssl s_server with the libraries of an extracted package."""

    def __init__(self, tree: Path, folder: Path) -> None:
        self.certificate = folder / "certificate.pem"
        self._key = folder / "key.pem"
        self._make_certificate()
        self.log = folder / "log"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        words = ["openssl", "s_server", "-www", "-quiet", "-accept", f"127.0.0.1:{self.port}"]
        words += ["-cert", str(self.certificate), "-key", str(self._key)]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                words,
                env={**os.environ, "LD_LIBRARY_PATH": str(tree / LIBRARIES)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.pid = self._process.pid

    def maps(self, path: Path) -> bool:
        return str(path) in Path(f"/proc/{self.pid}/maps").read_text()

    def alive(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def _make_certificate(self) -> None:
        words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        words += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        words += ["-keyout", str(self._key), "-out", str(self.certificate)]
        subprocess.run(words, check=True, capture_output=True)


def handshake(server: TlsServer, version: ssl.TLSVersion) -> bool:
    """One connection of that version, the certificate checked, one page read."""
    context = ssl.create_default_context(cafile=str(server.certificate))
    context.minimum_version = context.maximum_version = version
    try:
        with (
            socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as secure,
        ):
            secure.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return secure.recv(65536).startswith(b"HTTP/1.0 200")
    except OSError:
        return False


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
        deadline = time.monotonic() + 10
        while not handshake(server, VERSIONS[0]):
            assert server.alive(), server.log.read_text()
            assert time.monotonic() < deadline, server.log.read_text()
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
