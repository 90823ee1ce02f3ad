"""An old nginx on loopback: one master, two workers, all files in one folder.

The configuration has the flaw of CVE-2026-15176: a rewrite changes the URI of a location with an
``alias``, and ``$request_filename`` maps the new URI as if it were the old one.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from hotmend.demo.errors import DemoError

PUBLIC = "/files/hello.txt"
CRAFTED = "/files/old-../private/key.txt"
SECRET = b"-----BEGIN PRIVATE KEY-----\nnot for visitors\n"
WORKERS = 2
_PATIENCE_S = 10.0

_CONFIGURATION = """
daemon off; worker_processes {workers}; pid {folder}/nginx.pid; {user}
worker_shutdown_timeout 1s;
events {{ worker_connections 512; }}
http {{
    access_log off; server_tokens off;
    keepalive_timeout 600s; keepalive_requests 100000000;
    client_body_temp_path {folder}/tmp1; proxy_temp_path {folder}/tmp2;
    fastcgi_temp_path {folder}/tmp3; uwsgi_temp_path {folder}/tmp4; scgi_temp_path {folder}/tmp5;
    add_header X-Worker $pid always;
    server {{
        listen 127.0.0.1:{port} reuseport;
        location /files/ {{
            alias {folder}/public/;
            rewrite ^/files/old-(.*)$ /legacy$1;
            set $named $request_filename;
        }}
        location /legacy {{ root /; try_files $named =404; }}
    }}
}}
"""


@dataclass(frozen=True)
class ServerProcess:
    """``start_time``: in clock ticks since boot; with the pid it names one process for ever."""

    pid: int
    start_time: int
    role: str


class Server:
    """A running nginx. ``program``: the extracted build's nginx file."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.program = program
        self.folder = folder
        self.port = free_port()
        self._write_site()
        log = (folder / "log").open("wb")
        self._master = subprocess.Popen(
            [str(program), "-c", str(folder / "nginx.conf"), "-e", str(folder / "errors")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        try:
            self._wait_until_it_serves()
        except BaseException:
            self.stop()
            raise

    @property
    def url(self) -> str:
        """The page that everybody may read."""
        return f"http://127.0.0.1:{self.port}{PUBLIC}"

    def processes(self) -> list[ServerProcess]:
        """The master, then its workers by pid; those that are alive."""
        master = self._master.pid
        children = Path(f"/proc/{master}/task/{master}/children")
        try:
            workers = sorted(int(word) for word in children.read_text().split())
        except OSError:
            return []
        found = [(master, "master"), *((pid, "worker") for pid in workers)]
        return [ServerProcess(pid, _start_time(pid), role) for pid, role in found]

    def stop(self) -> None:
        """End it, workers included; it had its time to say goodbye."""
        pids = [process.pid for process in self.processes()]
        self._master.terminate()
        try:
            self._master.wait(timeout=5)
        except subprocess.TimeoutExpired:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._master.wait()

    def _write_site(self) -> None:
        user = ""
        if os.geteuid() == 0:
            user = f"user {_unprivileged()};"
        for name, data in (("public/hello.txt", b"hello\n"), ("private/key.txt", SECRET)):
            path = self.folder / name
            path.parent.mkdir(mode=0o755)
            path.write_bytes(data)
        (self.folder / "nginx.conf").write_text(
            _CONFIGURATION.format(workers=WORKERS, folder=self.folder, port=self.port, user=user)
        )

    def _wait_until_it_serves(self) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline and self._master.poll() is None:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                if len(self.processes()) == 1 + WORKERS:
                    return
            time.sleep(0.02)
        said = (self.folder / "log").read_text(errors="replace").strip().splitlines()
        raise DemoError(f"the old nginx does not start: {said[-1] if said else 'it said nothing'}")


def _start_time(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[19])


def free_port() -> int:
    """Nobody listens there now, and the kernel hands it out to nobody who asks for any."""
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    others = [port for port in range(10_000, 1 << 16) if not low <= port <= high]
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", secrets.choice(others) if others else 0))
            port: int = probe.getsockname()[1]
            return port


def _unprivileged() -> str:
    """The user and group for the workers of a root master."""
    for name in ("www-data", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        group = "www-data" if name == "www-data" else "nogroup"
        return f"{entry.pw_name} {group}"
    raise DemoError("this machine has neither a user www-data nor nobody to run the workers")
