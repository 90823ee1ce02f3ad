"""Two servers on one PostgreSQL and racks of agents, each a process that may be killed."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy.exc import SQLAlchemyError

from hotmend.client.api import Api, token
from hotmend.client.login import Login
from hotmend.demo.control_plane import ControlPlane
from hotmend.demo.server import free_port
from hotmend.release import draft
from hotmend.release.classification import Classification
from hotmend.release.draft import Draft
from hotmend.release.parity import Update
from hotmend.release.release import Month
from hotmend.simulation import shape
from hotmend.simulation.population import Layout, population
from server import postgres, repository
from server.rollouts.rack import Task

RACK = Path(__file__).with_name("rack.py")


class Rack:
    """``disk``: what its machines know."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.disk = Path(task.disk)
        self._process: subprocess.Popen[bytes] | None = None
        self._read, self._lines = 0, list[dict[str, Any]]()

    def start(self) -> None:
        log = self.disk.with_suffix(".log").open("ab")
        self._process = subprocess.Popen([sys.executable, RACK], stdin=subprocess.PIPE, stderr=log)
        log.close()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(self.task)).encode())
        self._process.stdin.close()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def midway(self) -> bool:
        """A machine has carried out an order and not said so yet."""
        applied, said = self.lines("applied"), self.lines("said")
        return bool({line["order"] for line in applied} - {line["order"] for line in said})

    def lines(self, what: str) -> list[dict[str, Any]]:
        """Whole ones; a killed process leaves a last one that may not be. Each is read once."""
        if self.disk.exists():
            with self.disk.open("rb") as file:
                file.seek(self._read)
                for line in file:
                    if line.endswith(b"\n"):
                        self._read += len(line)
                        self._lines.append(json.loads(line))
        return [line for line in self._lines if line["what"] == what]


@dataclass
class Site:
    url: str
    cluster: Path
    planes: list[ControlPlane]
    racks: list[Rack]
    engine: sqlalchemy.Engine = field(init=False)

    def __post_init__(self) -> None:
        # A connection for each question: the database is killed, too.
        self.engine = sqlalchemy.create_engine(self.url, poolclass=sqlalchemy.NullPool)

    def ask(self, statement: str, **values: Any) -> list[Any]:
        """Of the database itself. Raises SQLAlchemyError."""
        with self.engine.connect() as connection:
            return list(connection.execute(sqlalchemy.text(statement), values))

    def publish(self, number: int) -> str:
        """A release; its name."""
        month = f"{2026 + number // 12}-{number % 12 + 1:02}"
        update = Update(
            "rack-lib", "1", "2", Classification.SECURITY, ("CVE-1",), True, "x.hotpatch"
        )
        name = f"{month}-release.json"
        text = draft.encode(Draft(f"{month} for tests", Month.parse(month), (update,)))
        repository.publish(self.planes[0].data / "repository", {name: text.encode()})
        return name

    def state(self, name: str) -> str:
        """Of its rollout; "" before there is one."""
        found = self.ask("SELECT state FROM rollouts WHERE name = :n", n=name)
        return found[0][0] if found else ""

    def kill_database(self) -> None:
        """Its first process, at once; it is started again as a supervisor would."""
        os.kill(postgres.pid(self.cluster), signal.SIGKILL)
        entry = pwd.getpwnam("postgres")
        found = postgres.programs()
        assert found is not None
        words = [str(found / "pg_ctl"), "-D", str(self.cluster / "data"), "-w"]
        words += ["-l", str(self.cluster / "log"), "restart"]
        deadline = time.monotonic() + 60
        # Its other processes take a moment to notice, and no new one starts beside them.
        while subprocess.run(
            words,
            user=entry.pw_uid,
            group=entry.pw_gid,
            extra_groups=[],
            cwd="/",
            capture_output=True,
        ).returncode:
            assert time.monotonic() < deadline, (self.cluster / "log").read_text()[-2000:]
            time.sleep(0.1)

    def recovered(self, since: float) -> bool:
        """Somebody keeps the rollouts, and machines of every rack are heard, since then."""
        with contextlib.suppress(SQLAlchemyError):
            ((ticked,),) = self.ask("SELECT ticked FROM keeper")
            heard = {
                row[0] for row in self.ask("SELECT host FROM machines WHERE seen > :t", t=since)
            }
            return ticked > since and all(heard & set(rack.task.machines) for rack in self.racks)
        return False

    def log(self) -> str:
        """The audit log as it is exported, from the table."""
        names = ("number", "time", "who", "what", "subject", "details", "digest")
        rows = self.ask(f"SELECT {', '.join(names)} FROM audit ORDER BY number")
        return "\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in rows)


@contextlib.contextmanager
def site(
    folder: Path,
    machines: int,
    racks: int,
    settings: dict[str, object],
    set_size: int = 5,
    **pace: float,
) -> Iterator[Site]:
    """Up, with every machine enrolled. ``pace``: of Task."""
    cluster = folder / "pg"
    with postgres.running(cluster) as url, contextlib.ExitStack() as ends:
        planes = [ControlPlane(folder, free_port(), url) for _ in range(2)]
        for plane in planes:
            ends.callback(plane.stop, signal.SIGKILL)
            plane.start()
        first = planes[0]
        authority = first.authority.read_text()
        text, expires = token(
            first.base, authority, first.client, first.secret, person=False, now=time.time()
        )
        api = Api(Login(first.base, authority, first.subscription, text, expires))
        place = f"/subscriptions/{first.subscription}/providers/Hotmend.Fleet"
        api.send("PUT", f"{place}/rolloutSettings/default", settings)
        layout = Layout("racks", ("westeurope", "eastus"), 1.0, set_size, 2)
        places = population(layout, machines, 1)
        codes = dict(zip((p.name for p in places), shape.make(api, layout, places), strict=True))
        names = list(codes)
        made = [
            Rack(
                Task(
                    servers=[plane.base for plane in planes],
                    authority=authority,
                    disk=str(folder / f"rack-{number}.jsonl"),
                    machines={name: codes[name] for name in names[number::racks]},
                    **pace,
                )
            )
            for number in range(racks)
        ]
        built = Site(url, cluster, planes, made)
        for rack in made:
            ends.callback(rack.kill)
            rack.start()
        deadline = time.monotonic() + 60 + machines / 20
        while sum(len(rack.lines("enrolled")) for rack in made) < machines:
            assert time.monotonic() < deadline, "not all machines enrolled"
            time.sleep(max(0.2, machines / 2000))
        yield built
