"""A control plane with a simulated fleet, a real browser, and axe."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

import npm
from portal import browser, pages
from server.conftest import Plane, serving

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    if not browser.CHROMIUM.exists():
        pytest.skip("there is no Chromium: apt-get install chromium")
    with browser.chromium() as made:
        yield made


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("axe")
    shutil.copy(HERE / "axe" / "package.json", folder)
    npm.install(folder)
    return folder / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """Empty."""
    with serving(tmp_path_factory.mktemp("plane")) as made:
        yield made


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """With a simulated fleet, and a hotpatch that was published."""
    with serving(tmp_path_factory.mktemp("fleet")) as made:
        pages.prepare(made, 150)
        pages.publish(made, tmp_path_factory.mktemp("vendor"))
        yield made
