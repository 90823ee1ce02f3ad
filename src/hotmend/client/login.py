"""A login: where the control plane is, by which authority it is known, and a token for an hour.

The file is readable for its owner only. The secret itself is not kept.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from hotmend.client.errors import ClientError, LoginNeeded


@dataclass(frozen=True)
class Login:
    """``authority``: the PEM certificate that is trusted for ``url``, and no other; ``expires``:
    of the token, seconds since the epoch."""

    url: str
    authority: str
    subscription: str
    token: str
    expires: float


def place() -> Path:
    """``HOTMEND_LOGIN``, or below the user's configuration."""
    named = os.environ.get("HOTMEND_LOGIN")
    return Path(named) if named else Path.home() / ".config/hotmend/login.json"


def kept(path: Path) -> Login:
    """Raises LoginNeeded, ClientError."""
    try:
        return Login(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise LoginNeeded("nobody has logged in here → hotmend login URL --ca FILE") from None
    except (OSError, ValueError, TypeError) as error:
        raise ClientError(f"{path} cannot be used: {error} → hotmend login") from None


def keep(login: Login, path: Path) -> None:
    """Whole or not at all. Raises ClientError."""
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        opened = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(opened, "w", encoding="utf-8") as file:
            json.dump(asdict(login), file)
        temporary.replace(path)
    except OSError as error:
        raise ClientError(f"{path} cannot be written: {error.strerror}") from None
