"""A database for tests of what is asked of its tables."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hotmend.server.storage.database import Database


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    made = Database(f"sqlite:///{tmp_path_factory.mktemp('rollouts') / 'db.sqlite'}")
    made.migrate()
    yield made
    made.close()
