"""A real PostgreSQL of the tests' own, on a socket in a folder; gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def programs() -> Path | None:
    """Where initdb is; Debian keeps it out of PATH."""
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists():
            return folder
    found = shutil.which("initdb")
    return Path(found).parent if found else None


def pid(folder: Path) -> int:
    """Of the first process of the cluster that runs there."""
    return int((folder / "data/postmaster.pid").read_text().split()[0])


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """The URL of a new cluster's database ``postgres``. PostgreSQL does not run as root."""
    found = programs()
    assert found is not None
    user = {}
    folder.mkdir(mode=0o755)
    if os.geteuid() == 0:
        entry = pwd.getpwnam("postgres")
        os.chown(folder, entry.pw_uid, entry.pw_gid)
        user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": [], "umask": 0o077}
        for parent in folder.parents:  # pytest's folders are for their owner alone
            if str(parent) in ("/", "/tmp"):
                break
            parent.chmod(0o755)
    data = folder / "data"
    options = f"-c unix_socket_directories={folder} -c listen_addresses= -c max_connections=50"

    def command(*words: object) -> None:
        subprocess.run(
            list(map(str, words)),
            check=True,
            capture_output=True,
            cwd="/",
            env={"LC_ALL": "C"},
            **user,
        )

    command(found / "initdb", "-D", data, "-U", "hotmend", "-A", "trust", "-E", "UTF8")
    log = folder / "log"
    command(found / "pg_ctl", "-D", data, "-l", log, "-w", "-o", options, "start")
    try:
        yield f"postgresql+psycopg://hotmend@/postgres?host={folder}"
    finally:
        command(found / "pg_ctl", "-D", data, "-m", "immediate", "stop")
