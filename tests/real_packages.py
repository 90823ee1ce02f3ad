"""Where the real Debian packages are: HOTMEND_PAIRS, or ../shared/pairs beside the checkout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_BESIDE = Path(__file__).parents[2] / "shared" / "pairs"


def real(name: str) -> Path:
    """A package or source file by its name; the test is skipped where it is not at hand."""
    path = Path(os.environ.get("HOTMEND_PAIRS") or _BESIDE) / name
    if not path.exists():
        pytest.skip(f"{name} is not here: set HOTMEND_PAIRS to the folder that holds it")
    return path


EXPAT = ("libexpat1_2.5.0-1+deb12u2_amd64.deb", "libexpat1_2.5.0-1+deb12u5_amd64.deb")
XML2 = (
    "libxml2_2.9.14+dfsg-1.3~deb12u4_amd64.deb",
    "libxml2_2.9.14+dfsg-1.3~deb12u6_amd64.deb",
)
NGINX = ("nginx_1.22.1-9+deb12u9_amd64.deb", "nginx_1.22.1-9+deb12u11_amd64.deb")
CURL = ("libcurl4_7.88.1-10+deb12u5_amd64.deb", "libcurl4_7.88.1-10+deb12u15_amd64.deb")
LIBC = ("libc6_2.36-9+deb12u7_amd64.deb", "libc6_2.36-9+deb12u14_amd64.deb")
HAPROXY = ("haproxy_2.6.12-1+deb12u3_amd64.deb", "haproxy_2.6.12-1+deb12u4_amd64.deb")
SSL_17_20 = ("libssl3_3.0.17-1~deb12u2_amd64.deb", "libssl3_3.0.20-1~deb12u2_amd64.deb")
SSL_20_22 = ("libssl3_3.0.20-1~deb12u2_amd64.deb", "libssl3_3.0.22-1~deb12u2_amd64.deb")
