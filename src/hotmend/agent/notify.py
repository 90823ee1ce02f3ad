"""Tells systemd that a service is ready (sd_notify(3)); nothing where nobody asked."""

from __future__ import annotations

import os
import socket
from contextlib import suppress


def ready() -> None:
    """What the service promises works from now on."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.sendto(b"READY=1", address)
