"""What every route has at hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from hotmend.server.agents.waiting import Waiting
from hotmend.server.checkpoints import Checkpoints
from hotmend.server.folder import DataFolder
from hotmend.server.identity.oidc import Provider, ProviderSettings
from hotmend.server.identity.passwords import Guesses
from hotmend.server.identity.tokens import Tokens
from hotmend.server.repository import ServedRepository
from hotmend.server.storage import runs
from hotmend.server.storage.database import Database


@dataclass(frozen=True)
class Control:
    """``base_url``: where clients reach the server, without a slash at the end; ``orders``: the
    agents that wait for one; ``log``: the audit log's checkpoints; ``repository``: what machines
    are served and told of; ``provider``: where people may log in, too; ``guesses``: of secrets."""

    database: Database
    folder: DataFolder
    base_url: str
    tokens: Tokens
    orders: Waiting
    log: Checkpoints
    repository: ServedRepository
    provider: Provider | None = None
    guesses: Guesses = field(default_factory=Guesses)
    clock: Callable[[], float] = field(default=time.time)

    @property
    def authority(self) -> str:
        """The ADFS-shaped one: clients ask nobody else about it first."""
        return f"{self.base_url}/adfs"


def prepared(
    folder: DataFolder,
    base_url: str,
    database_url: str = "",
    clock: Callable[[], float] = time.time,
    elsewhere: ProviderSettings | None = None,
) -> Control:
    """With the tables up to date. ``elsewhere``: where people may log in, too. Raises
    ServerError."""
    database = Database(database_url or folder.database)
    database.migrate()
    tokens = Tokens(folder.token_key, folder.tenant, f"{base_url}/adfs", base_url)

    def look(machines: list[str]) -> set[str]:
        with database.reading() as connection:
            return runs.with_orders(connection, machines)

    log = Checkpoints(database, folder.audit_key, f"hotmend/{folder.tenant}", clock)
    provider = Provider(elsewhere, base_url) if elsewhere is not None else None
    served = ServedRepository(folder.repository)
    waiting = Waiting(look)
    return Control(
        database, folder, base_url, tokens, waiting, log, served, provider=provider, clock=clock
    )
