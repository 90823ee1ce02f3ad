"""What this machine is."""

from __future__ import annotations

import os
import platform
import socket
import time
from pathlib import Path

from hotmend import __version__
from hotmend.model.agent_messages import Facts

_REBOOT_REQUIRED = (Path("/run/reboot-required"), Path("/var/run/reboot-required"))


def facts() -> Facts:
    """As the kernel and /etc say."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    return Facts(
        host=socket.gethostname(),
        os_name=release.get("ID", platform.system().lower()),
        os_version=release.get("VERSION_ID", platform.release()),
        kernel=platform.release(),
        agent=__version__,
        booted=round(time.time() - time.clock_gettime(time.CLOCK_BOOTTIME), 0),
        zone=zone(),
    )


def reboot_pending() -> bool:
    """Somebody wrote down that a restart is due, or a newer kernel lies under /boot's link than
    the one that runs."""
    if any(path.exists() for path in _REBOOT_REQUIRED):
        return True
    link = Path("/vmlinuz")
    return link.exists() and platform.release() not in os.path.realpath(link)


def boot_id() -> str:
    """Another after every restart."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def machine_id() -> str:
    """machine-id(5): made on the machine, at its first start; "" where there is none."""
    try:
        return Path("/etc/machine-id").read_text().strip()
    except OSError:
        return ""


def zone() -> str:
    """IANA name."""
    name = os.environ.get("TZ", "")
    if not name:
        target = os.path.realpath("/etc/localtime")
        name = target.partition("zoneinfo/")[2]
    return name or "Etc/UTC"
