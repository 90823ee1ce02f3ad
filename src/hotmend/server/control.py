"""What every route has at hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from hotmend.server.agents.waiting import Waiting
from hotmend.server.checkpoints import Checkpoints
from hotmend.server.folder import DataFolder
from hotmend.server.identity.tokens import Tokens
from hotmend.server.storage import runs
from hotmend.server.storage.database import Database


@dataclass(frozen=True)
class Control:
    """``base_url``: where clients reach the server, without a slash at the end; ``orders``: the
    agents that wait for one; ``log``: the audit log's checkpoints."""

    database: Database
    folder: DataFolder
    base_url: str
    tokens: Tokens
    orders: Waiting
    log: Checkpoints
    clock: Callable[[], float] = field(default=time.time)

    @property
    def authority(self) -> str:
        """The ADFS-shaped one: clients ask nobody else about it first."""
        return f"{self.base_url}/adfs"

    def releases(self) -> tuple[str, ...]:
        """The releases that machines are told of: targets of the repository that is served."""
        return self.folder.releases()


def prepared(
    folder: DataFolder,
    base_url: str,
    database_url: str = "",
    clock: Callable[[], float] = time.time,
) -> Control:
    """With the tables up to date. Raises ServerError."""
    database = Database(database_url or folder.database)
    database.migrate()
    tokens = Tokens(folder.token_key, folder.tenant, f"{base_url}/adfs", base_url)

    def look(machines: list[str]) -> set[str]:
        with database.reading() as connection:
            return runs.with_orders(connection, machines)

    log = Checkpoints(database, folder.audit_key, f"hotmend/{folder.tenant}", clock)
    return Control(database, folder, base_url, tokens, Waiting(look), log, clock)
