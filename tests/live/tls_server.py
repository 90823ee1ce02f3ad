"""A real TLS server on the libssl and libcrypto of an extracted package."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import time
from pathlib import Path

from hotmend.demo.server import free_port

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
LIBRARIES = "usr/lib/x86_64-linux-gnu"


class TlsServer:
    """openssl s_server with the libraries of an extracted package."""

    def __init__(self, tree: Path, folder: Path) -> None:
        self.certificate = folder / "certificate.pem"
        self._key = folder / "key.pem"
        self._make_certificate()
        self.log = folder / "log"
        self.port = free_port()
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

    def ready(self) -> None:
        """Once it serves."""
        deadline = time.monotonic() + 10
        while not handshake(self, VERSIONS[0]):
            assert self.alive(), self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()

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
