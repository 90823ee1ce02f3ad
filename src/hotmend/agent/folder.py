"""The agent's folder: who the machine is, whom it trusts, what it remembers."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from hotmend.agent.errors import AgentError
from hotmend.release.repository.client import Place

DEFAULT = Path("/var/lib/hotmend/agent")


@dataclass(frozen=True)
class Enrolment:
    """``server``: its URL; ``machine``, ``resource``: what the control plane calls this machine;
    ``log_key``: of its audit log, base64."""

    server: str
    machine: str
    resource: str
    log_key: str = ""


class AgentFolder:
    """``identity``: key and certificate in one file, so that both change at once; ``authority``:
    the control plane's."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.identity = path / "identity.pem"
        self.authority = path / "authority.pem"
        self.journal = path / "journal.sqlite"
        self.downloads = path / "downloads"
        self.checkpoint = path / "checkpoint"
        self.alarm = path / "alarm"
        self._enrolment = path / "enrolment.json"
        self._ring = path / "ring"
        self.repository_metadata = path / "repository"

    def make(self) -> None:
        """Raises AgentError."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise AgentError(f"{error.filename}: {error.strerror}") from None

    @property
    def enrolment(self) -> Enrolment:
        """Raises AgentError on a machine that has not enrolled."""
        try:
            return Enrolment(**json.loads(self._enrolment.read_text()))
        except FileNotFoundError:
            raise AgentError(
                f"this machine has not enrolled ({self._enrolment} is not there): hotmend enroll"
            ) from None
        except (OSError, ValueError, TypeError) as error:
            raise AgentError(f"{self._enrolment} cannot be used: {error}") from None

    def enrol(self, enrolment: Enrolment, identity: bytes) -> None:
        """Remember who the machine is. Raises AgentError."""
        write(self.identity, identity)
        write(self._enrolment, json.dumps(asdict(enrolment)).encode())

    @property
    def ring(self) -> str:
        """The ring that the machine's owner put it into; "" for none."""
        try:
            return self._ring.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise AgentError(f"{self._ring} cannot be used: {error}") from None

    def put_into(self, ring: str) -> None:
        """Remember the owner's choice; "" for none. Raises AgentError."""
        write(self._ring, ring.encode())

    @property
    def repository(self) -> Place:
        """The signed repository behind the control plane's address."""
        server = self.enrolment.server
        return Place(
            self.repository_metadata,
            f"{server}/repository/metadata/",
            f"{server}/repository/targets/",
            self.authority,
        )

    @property
    def trusts_a_root(self) -> bool:
        """A root of publishers has been given to this machine."""
        return (self.repository_metadata / "root.json").exists()


def write(path: Path, data: bytes) -> None:
    """Readable for the owner only; whole or not at all. Raises AgentError."""
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        opened = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(opened, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise AgentError(f"{path} cannot be written: {error.strerror}") from None
