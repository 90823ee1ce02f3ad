"""The server's data folder: made on the first start, with everything that it needs."""

from __future__ import annotations

import os
import secrets
import socket
import uuid
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import RSAKey

from hotmend.server import certificates
from hotmend.server.certificates import Pair
from hotmend.server.errors import ServerError

_RENEW_DAYS = 30


class DataFolder:
    """Keys, certificates, ids and the embedded database. Secrets are readable for their owner."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def opened(cls, path: Path, hosts: list[str]) -> DataFolder:
        """The folder, made if it is not there, with a certificate for ``hosts`` that lasts."""
        folder = cls(path)
        now = datetime.now(UTC)
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder._make("tenant", lambda: str(uuid.uuid4()).encode())
            folder._make("subscription", lambda: str(uuid.uuid4()).encode())
            folder._make("token-key.pem", lambda: RSAKey.generate_key(2048).as_pem(private=True))
            folder._make("audit-key.pem", _new_audit_key)
            folder._make("cookie-key", lambda: secrets.token_urlsafe(32).encode())
            if not (path / "ca.pem").exists():
                folder._write_pair("ca", certificates.new_authority(now))
            if not folder._lasts(hosts, now):
                made = certificates.server_certificate(folder.authority, hosts, now)
                folder._write_pair("server", made)
        except OSError as error:
            raise ServerError(f"{error.filename}: {error.strerror}") from None
        return folder

    @property
    def tenant(self) -> str:
        return self._read("tenant").decode()

    @property
    def subscription(self) -> str:
        """The first subscription's id."""
        return self._read("subscription").decode()

    @property
    def authority(self) -> Pair:
        return Pair(self._read("ca-key.pem"), self._read("ca.pem"))

    @property
    def token_key(self) -> RSAKey:
        return RSAKey.import_key(self._read("token-key.pem"))

    @property
    def cookie_key(self) -> str:
        """With which cookies that say more than a random number are signed."""
        return self._read("cookie-key").decode()

    @property
    def audit_key(self) -> Ed25519PrivateKey:
        """With which checkpoints of the audit log are signed."""
        key = serialization.load_pem_private_key(self._read("audit-key.pem"), password=None)
        assert isinstance(key, Ed25519PrivateKey)
        return key

    @property
    def database(self) -> str:
        """The URL of the embedded database."""
        return f"sqlite:///{self.path / 'hotmend.sqlite'}"

    @property
    def repository(self) -> Path:
        """Where the signed repository that is served lies."""
        return self.path / "repository"

    def _lasts(self, hosts: list[str], now: datetime) -> bool:
        path = self.path / "server.pem"
        if not path.exists():
            return False
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        known = {str(name.value) for name in names}
        left = certificate.not_valid_after_utc - now
        return set(hosts) <= known and left.days >= _RENEW_DAYS

    def _make(self, name: str, content: object) -> None:
        path = self.path / name
        if not path.exists():
            assert callable(content)
            _write(path, content(), 0o600)

    def _write_pair(self, name: str, pair: Pair) -> None:
        _write(self.path / f"{name}-key.pem", pair.key, 0o600)
        _write(self.path / f"{name}.pem", pair.certificate, 0o644)

    def _read(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise ServerError(f"{error.filename}: {error.strerror}") from None


def _new_audit_key() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def own_names() -> list[str]:
    """What this machine is called from itself and from its network."""
    names = ["localhost", "127.0.0.1", "::1", socket.gethostname(), socket.getfqdn()]
    return list(dict.fromkeys(name for name in names if name))


def _write(path: Path, data: bytes, mode: int) -> None:
    """Beside, then renamed: the file is there whole or not at all."""
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    opened = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(opened, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
