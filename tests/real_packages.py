"""Real Debian packages for tests: the table is hotmend.pairs, the file may have to be fetched."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import pytest

from hotmend import pairs


def _files(key: str) -> tuple[str, str]:
    pair = pairs.PAIRS[key]
    return pair.old.file_name, pair.new.file_name


EXPAT = _files("libexpat1")
XML2 = _files("libxml2")
NGINX = _files("nginx")
CURL = _files("libcurl4")
LIBC = _files("libc6")
HAPROXY = _files("haproxy")
SSL_17_20 = _files("libssl3-17-20")
SSL_20_22 = _files("libssl3-20-22")


def real(name: str) -> Path:
    """A package (or, below the folder, another file) by its name; skips where it cannot be had."""
    package = pairs.by_file_name(name)
    path = Path(os.environ.get("HOTMEND_PAIRS") or "/nonexistent") / name
    if package is None:
        if not path.exists():
            pytest.skip(f"{name} is not here: set HOTMEND_PAIRS to the folder that holds it")
        return path
    found = _found(package)
    if isinstance(found, str):
        pytest.skip(found)
    return found


@functools.cache
def _found(package: pairs.Package) -> Path | str:
    """Where it is, or why there is none; asked once in a run, since fetching may take long."""
    try:
        return pairs.find(package)
    except pairs.PackageMissing as error:
        return str(error)
